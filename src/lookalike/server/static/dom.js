// DOM helpers: element construction, status messages, number and file name formatting.

import { withRoot } from "./root_path.js";

export { percent } from "./review.js";

export function h(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key === "href" && typeof value === "string" && value.startsWith("/") && attributes["data-link"])
      node.setAttribute(key, withRoot(value));
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node && typeof value !== "string") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

let hideTimer = 0;

export function notify(text, action = null) {
  const status = document.getElementById("status");
  status.replaceChildren(text);
  if (action)
    status.append(
      h(
        "button",
        {
          type: "button",
          onclick: () => {
            status.replaceChildren();
            action.run();
          },
        },
        action.name,
      ),
    );
  clearTimeout(hideTimer);
  hideTimer = setTimeout(() => status.replaceChildren(), action ? 12000 : 5000);
}

export function number(value) {
  return value.toLocaleString("en");
}

export function fileName(id) {
  return id.split("/").pop() || id;
}
