// The bell: what has been said and not been read yet, newest first.

import { h, show, write } from "../dom.js";
import { count } from "../format.js";
import { action } from "../forms.js";
import { ApiError, get, send } from "../hub.js";
import { age, badge, setAge, setSentence, setSeverity } from "../parts.js";
import { serverPath } from "../router.js";

const PATH = "/api/dashboard/notifications";

/** Fill the panel; tell(unread) hears how many are left. */
export async function bell(panel, tell) {
  const head = h("h2", {});
  const list = h("ul", { class: "notices" });
  const none = h("p", { class: "muted" }, "Nothing is unread.");
  const all = action("Mark all read", () => mark({ mark_all: true }));
  all.classList.add("for-admin");

  async function draw() {
    const { notifications, unread } = await get(PATH);
    const number = unread ?? notifications.length;
    tell(number);
    write(head, number > notifications.length ? `${notifications.length} of ${number} unread` : `${number} unread`);
    show(none, !notifications.length);
    show(all, notifications.length > 0);
    list.replaceChildren(...notifications.map((each) => line(each, mark)));
  }

  async function mark(which) {
    await send("PATCH", PATH, which);
    await draw();
    (list.querySelector("button") || panel).focus();
  }

  panel.replaceChildren(h("div", { class: "popup-head" }, head, all), none, list,
    h("a", { href: "/alerts" }, "All alerts"));
  try {
    await draw();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    panel.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
  }
}

function line(notification, mark) {
  const state = badge();
  const { event, severity } = notification;
  if (event === "recovered") state.set("online", "Over");
  else setSeverity(state, severity);
  const when = age("muted");
  setAge(when, notification.timestamp);
  const said = h("p");
  setSentence(said, notification.message);
  const name = notification.display_name || notification.hostname;
  const read = action("Read", () => mark({ notification_id: notification.id }),
    { label: `Mark read: ${said.textContent}` });
  read.classList.add("for-admin");
  return h("li", { class: "notice-line" },
    h("div", {}, state.el, name && h("a", { href: placeOf(notification) }, name), when),
    said, read);
}

function placeOf({ server_id: id }) {
  return id ? `${serverPath(id)}/alerts` : "/alerts";
}
