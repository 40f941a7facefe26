/** The options before the command. */
export const GLOBAL_OPTIONS = [
  {
    name: "--root",
    value: "DIR",
    complete: "directory",
    help: "the store (default /var/lib/veneer, of a user ~/.local/share/veneer; environment VENEER_ROOT)",
  },
  {
    name: "--run",
    value: "DIR",
    complete: "directory",
    help: "records of running things (default /run/veneer, of a user $XDG_RUNTIME_DIR/veneer; environment VENEER_RUN)",
  },
  {
    name: "--config",
    value: "FILE",
    complete: "file",
    help: "configuration (default /etc/veneer/config.json, of a user ~/.config/veneer/config.json)",
  },
  { name: "--debug", help: "print each step to stderr" },
  { name: "--version", help: "print the version" },
] as const;
