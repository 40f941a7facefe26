/** What programs of ours, hooks among them, are given for an environment: no caller and no image has a part in it. */
export const MINIMAL_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

/** NAME=VALUE each. Never empty: a runtime gives a hook without env the environment of the container. */
export const MINIMAL_ENVIRONMENT: readonly string[] = [`PATH=${MINIMAL_PATH}`];

/** The status of a program that did not end in the time that it was given, as of timeout(1). */
export const TIMED_OUT = 124;
