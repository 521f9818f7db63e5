"""
The types of what requests carry and of what is answered, for the OpenAPI document alone.

Each module is that of the handlers of the same name.
"""
