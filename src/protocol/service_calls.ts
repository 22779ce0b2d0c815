/** The host's calls about services, each method of the agent with what it takes, streams and answers. */
import { flag, type Infer, integer, list, object, oneOf, optional, text } from "./shape.ts";
import { instanceView, serviceSpecs } from "./services.ts";

/** 256 services of 100 instances. */
const MAX_INSTANCES = 25_600;
export const MAX_LOG_LINES = 10_000;

/** `service.apply`: the whole set as rum.toml has it now; what is not in it ends. */
export const serviceApplyParams = object({ services: serviceSpecs });

/** `service.request`: of one service by its name, or of `all`. */
export const serviceRequestParams = object({
  verb: oneOf("start", "stop", "restart", "reload"),
  name: text(64),
});
export type ServiceRequest = Infer<typeof serviceRequestParams>;

/** The sentence that every request is answered with; refusals are errors with a code. */
export const serviceReply = object({ message: text() });

/** `service.list` and the first event of `service.watch`. */
export const serviceListResult = object({ instances: list(instanceView, MAX_INSTANCES) });

/** `service.watch`: first everything (`whole`), then what changed. */
export const serviceNews = object({
  whole: optional(flag()),
  instances: list(instanceView, MAX_INSTANCES),
  /** No longer in the spec, and ended. */
  gone: list(object({ service: text(64), index: integer(0, 99) }), MAX_INSTANCES),
});
export type ServiceNews = Infer<typeof serviceNews>;

export const serviceLogsParams = object({
  name: text(64),
  lines: integer(0, MAX_LOG_LINES),
  follow: flag(),
});

/** `service.logs`: lines of one instance, in order. */
export const serviceLogLines = object({
  service: text(64),
  index: integer(0, 99),
  lines: list(text(256 * 1024), 2 * MAX_LOG_LINES),
});
export type ServiceLogLines = Infer<typeof serviceLogLines>;
