// Keeps a page up to date on which nothing can be done, and which nobody needs
// to the tenth of a second.

import { follow } from "./follow.js";

follow(document.getElementById("fresh"), { gather: 1000 });
