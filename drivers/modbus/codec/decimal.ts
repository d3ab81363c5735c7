export { isSafe, type Scaling, scaled, shortest } from "../../../gateway/core/decimal.ts";
