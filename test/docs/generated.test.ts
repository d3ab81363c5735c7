import { it } from "vitest";
import { alertReference } from "./alert-reference.ts";
import { apiReference } from "./api-reference.ts";
import { errorReference } from "./error-reference.ts";
import { expectFresh, NOTE } from "./fresh.ts";
import { metricsReference } from "./metrics-reference.ts";

it("docs/errors.md has every error code of the code, and the cure", () => {
  expectFresh("errors.md", errorReference(NOTE("the error classes and the HTTP server")));
});

it("docs/api-reference.md is what the API says of itself", async () => {
  expectFresh("api-reference.md", await apiReference(NOTE("the OpenAPI document")));
});

it("docs/metrics.md has every number that a running gateway has, and that the code counts", async () => {
  expectFresh("metrics.md", await metricsReference(NOTE("the registry of running gateways")));
});

it("docs/alerts.md has every alert, with what to do", () => {
  expectFresh("alerts.md", alertReference(NOTE("monitoring/alerts.yml")));
});
