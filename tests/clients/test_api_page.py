"""The page of the API in a browser."""

from tests.documented import document


def test_shows_every_operation(browser, server):
    """
    The page shows all operations, asks nobody but this server, and nothing of it is refused.
    """
    asked, complaints = [], []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    page.goto(f"{server.url}/api/docs")
    page.locator("#operations-Flags-post_flags .opblock-summary-control").click()
    page.locator("#operations-Flags-post_flags .responses-table").first.wait_for()
    shown = page.locator(".opblock").count()
    page.close()

    assert sum(map(len, document()["paths"].values())) == shown
    assert [] == complaints
    assert [] == [url for url in asked if not url.startswith((server.url, "data:"))]
