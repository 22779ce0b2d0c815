/** Everything that reads bytes which somebody else wrote. */
import { agentAnswers } from "./agent_answers.ts";
import { config } from "./config.ts";
import { frames } from "./frames.ts";
import { imageHeaders } from "./image_headers.ts";
import { lineProtocol } from "./line_protocol.ts";
import { mux } from "./mux.ts";
import type { Target } from "./target.ts";

export const TARGETS: readonly Target[] = [
  config,
  frames,
  mux,
  agentAnswers,
  imageHeaders,
  lineProtocol,
];
