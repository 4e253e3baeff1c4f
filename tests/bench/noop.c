/* The floor: what any program costs before it has done anything. */
int main(void) { return 0; }
