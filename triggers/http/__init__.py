"""HTTP: wiring, requests, responses and the OpenAPI document."""
