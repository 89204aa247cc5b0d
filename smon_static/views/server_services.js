// The services of one server, those that do not run first.

import { h } from "../dom.js";
import { serverPage } from "./server_page.js";
import { services } from "./services.js";

export function mount(root, { id }) {
  const parts = [services()];
  return serverPage(root, id, { tab: "/services", word: () => "Services", question: () => "hours=1", parts,
    body: h("div", { class: "panel-column" }, parts.map((part) => part.el)) });
}
