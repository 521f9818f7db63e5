"""The types of what requests carry and of what is answered, for the OpenAPI document alone."""
