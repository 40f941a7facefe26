/** A plugin of NRI, the Node Resource Interface of containerd and CRI-O (github.com/containerd/nri). */
import { VeneerError } from "../errors.ts";
import { quote } from "../text/quote.ts";
import { answerTo, type HookCall } from "./adjustment.ts";
import {
  type Message,
  PLUGIN_SERVICE,
  REQUEST,
  RESPONSE,
  RUNTIME_SERVICE,
  receive,
  send,
} from "./connection.ts";
import { bytesOf, decode, encode, type Fields, numberOf, textOf } from "./protobuf.ts";

const SERVICE = "nri.pkg.api.v1alpha1";

/** Bits of ConfigureResponse.events: one for each Event, from RUN_POD_SANDBOX = 1 on. */
const CREATE_CONTAINER = 1 << (4 - 1);

/** google.rpc.Code */
const UNIMPLEMENTED = 12;

export interface PluginName {
  readonly name: string;
  /** two digits: plugins are called in their order */
  readonly index: string;
}

/** Serves the runtime behind the socket `fd` until it closes it. Throws when it does not take the plugin. */
export function servePlugin(fd: number, { name, index }: PluginName, hook: HookCall): void {
  const registration = encode([
    [1, name],
    [2, index],
  ]);
  const register = encode([
    [1, `${SERVICE}.Runtime`],
    [2, "RegisterPlugin"],
    [3, registration],
  ]);
  send(fd, { connection: RUNTIME_SERVICE, stream: 1, kind: REQUEST, content: register });
  for (const message of receive(fd)) {
    if (message.connection === RUNTIME_SERVICE && message.kind === RESPONSE) requireTaken(message);
    else if (message.connection === PLUGIN_SERVICE && message.kind === REQUEST) {
      const content = respond(decode(message.content), hook);
      send(fd, { ...message, kind: RESPONSE, content });
    }
  }
}

/** Throws when the answer to the registration is an error. */
function requireTaken({ content }: Message): void {
  const status = decode(bytesOf(decode(content), 1));
  if (numberOf(status, 1) === 0) return;
  throw new VeneerError("NRI", `the runtime does not take the plugin: ${quote(textOf(status, 2))}`);
}

/** ttrpc's Response: a status where the method is not known, else the answer. */
function respond(request: Fields, hook: HookCall): Uint8Array {
  const method = textOf(request, 2);
  const payload = decode(bytesOf(request, 3));
  switch (method) {
    case "Configure":
      return encode([[2, encode([[2, CREATE_CONTAINER]])]]);
    case "Synchronize":
      // in several parts: more of them are welcome (SynchronizeResponse.more)
      return encode(numberOf(payload, 3) === 1 ? [[2, encode([[2, 1]])]] : []);
    case "CreateContainer":
      return encode([[2, answerTo(payload, hook)]]);
    case "Shutdown":
    case "StateChange":
      return new Uint8Array();
    default: {
      const status = encode([
        [1, UNIMPLEMENTED],
        [2, `veneer does not know ${method}`],
      ]);
      return encode([[1, status]]);
    }
  }
}
