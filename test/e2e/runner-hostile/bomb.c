/* Every process makes more of itself, for ever. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
  puts("up");
  fflush(stdout);
  for (;;) fork();
}
