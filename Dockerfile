FROM python:3.11-slim-bookworm AS build
WORKDIR /app
COPY requirements.lock ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY flagstream ./flagstream
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --system flagstream && install --directory --owner flagstream /var/lib/flagstream/data
COPY --from=build /venv /venv
USER flagstream
WORKDIR /var/lib/flagstream
ENV FLAGSTREAM_DATA_DIR=/var/lib/flagstream/data FLAGSTREAM_HOST=0.0.0.0
VOLUME /var/lib/flagstream/data
EXPOSE 8080
HEALTHCHECK --interval=10s --start-period=30s CMD ["/venv/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/_readiness', timeout=5)"]
ENTRYPOINT ["/venv/bin/flagstream"]
CMD ["serve"]
