// What the pages of one server have in common: the head, and parts that are all drawn from the same answer.

import { show } from "../dom.js";
import { watch } from "../hub.js";
import { refusal, skeleton } from "../parts.js";
import { query } from "../router.js";
import { serverHead } from "./server_head.js";

/**
 * tab: the path of its tab; word(answer): what the title says after the name; question(): what is asked with;
 * parts: [{el, draw(answer), stop?}], whose elements are in body.
 */
export function serverPage(root, id, { tab, word, question, parts, body }) {
  const top = serverHead(id, tab);
  const waiting = skeleton("server", 6);
  root.append(top.el, waiting, body);
  show(body, false);

  function draw(answer) {
    show(waiting, false);
    show(body, true);
    document.title = `${answer.server.display_name} – ${word(answer)} – smon`;
    for (const each of [top, ...parts]) each.draw(answer);
  }

  function refuse(error) {
    watching.stop();
    root.replaceChildren(refusal(error));
  }

  const watching = watch({ path: () => `/api/dashboard/server/${id}?${question()}`, draw, refuse });
  query.listen(watching.now);
  return () => {
    watching.stop();
    for (const each of parts) each.stop?.();
  };
}
