import { defineConfig } from "vite";

/** One page, one script, one style sheet, nothing inline: the gateway's Content-Security-Policy allows no more. */
export default defineConfig({
  root: import.meta.dirname,
  base: "/",
  clearScreen: false,
  logLevel: "warn",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../../dist/dashboard",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    sourcemap: false,
  },
});
