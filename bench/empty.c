/* What any program costs before it does anything, where it is linked statically. */
int main(void) { return 0; }
