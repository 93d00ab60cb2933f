"""HTTP: routes, errors, the OpenAPI document, the client, the port for operators."""
