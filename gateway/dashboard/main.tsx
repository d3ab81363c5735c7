import { render } from "preact";
import { App } from "./app.tsx";
import { applySettings } from "./settings.ts";
import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/frame.css";
import "./styles/cards.css";
import "./styles/tables.css";
import "./styles/controls.css";
import "./styles/texts.css";
import "./styles/accounts.css";
import "./styles/narrow.css";

applySettings();
const root = document.getElementById("app");
if (root) render(<App />, root);
