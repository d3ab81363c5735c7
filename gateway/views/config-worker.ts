import { parentPort, workerData } from "node:worker_threads";
import { configWork } from "./config-work.ts";

/** The thread of one job that takes long. */
parentPort?.postMessage(await configWork(workerData));
