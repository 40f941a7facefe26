/** Datagrams to Unix sockets (unix(7)). */
import { Fd } from "../fd.ts";
import { check, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** Sends a datagram without waiting. Throws EAGAIN when the reader's queue is full, ECONNREFUSED without a reader. */
export function sendDatagram(path: string, text: string): void {
  using socket = new Fd(check(syscall(SYS.socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket", path));
  const name = new TextEncoder().encode(path);
  // struct sockaddr_un: the family in native byte order, then a path that ends with a NUL
  const address = new Uint8Array(2 + name.length + 1);
  address[0] = AF_UNIX;
  address.set(name, 2);
  const bytes = new TextEncoder().encode(text);
  const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  check(
    syscall(SYS.sendto, socket.number, bytes, bytes.length, flags, address, address.length),
    "sendto",
    path,
  );
}
