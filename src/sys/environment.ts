/** The environment of hooks and other programs that we start, which neither the caller nor an image can influence. */
export const MINIMAL_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

/** NAME=VALUE entries. Never empty: a runtime gives a hook without `env` the environment of the container. */
export const MINIMAL_ENVIRONMENT: readonly string[] = [`PATH=${MINIMAL_PATH}`];

/** The status of a program that exceeded its time limit, as in timeout(1). */
export const TIMED_OUT = 124;
