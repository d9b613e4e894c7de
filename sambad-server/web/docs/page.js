// Shows the OpenAPI document of the server that this page comes from, and makes no third-party requests.
SwaggerUIBundle({
    url: new URL('api/openapi.json', document.baseURI).href,
    dom_id: '#reference',
    presets: [SwaggerUIBundle.presets.apis],
    layout: 'BaseLayout',
    // No badge from elsewhere that says whether the document is valid: a test does.
    validatorUrl: null,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
});
