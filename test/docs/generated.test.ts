import { it } from "vitest";
import { apiReference } from "./api-reference.ts";
import { errorReference } from "./error-reference.ts";
import { expectFresh, NOTE } from "./fresh.ts";

it("docs/errors.md has every error code of the code, and the cure", () => {
  expectFresh("errors.md", errorReference(NOTE("the error classes and the HTTP server")));
});

it("docs/api-reference.md is what the API says of itself", async () => {
  expectFresh("api-reference.md", await apiReference(NOTE("the OpenAPI document")));
});
