// Shows the description of this server's API; what is tried is sent to this server, wherever a proxy has put it.
const base = new URL(".", document.baseURI);
const spec = await (await fetch(new URL("openapi.json", base))).json();
spec.servers = [{ url: base.pathname.replace(/\/$/, "") || "/" }];
window.SwaggerUIBundle({
  spec,
  dom_id: "#docs",
  deepLinking: true,
  filter: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  validatorUrl: null,
});
