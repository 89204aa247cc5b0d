// The alerts of one server, open and past.

import { h } from "../dom.js";
import { get, watch } from "../hub.js";
import { refusal } from "../parts.js";
import { query } from "../router.js";
import { alertList } from "./alert_list.js";
import { serverHead } from "./server_head.js";

export function mount(root, { id }) {
  const top = serverHead(id, "/alerts");
  const shown = alertList({ server: id, usual: "all" });
  const refuse = (error) => { watching.stop(); root.replaceChildren(refusal(error)); };
  root.append(top.el, shown.el);

  async function introduce() {
    const answer = await get(`/api/dashboard/server/${id}?hours=1`);
    top.draw(answer);
    document.title = `${answer.server.display_name} – Alerts – smon`;
  }

  function draw(answer) {
    shown.draw(answer);
    introduce().catch(refuse);
  }

  const watching = watch({ path: shown.path, draw, refuse });
  query.listen(watching.now);
  return watching.stop;
}
