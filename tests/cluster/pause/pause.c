// The first container of every pod: holds the pod's namespaces open until it is told to end, and reaps whatever
// processes the pod orphans.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal) {
  (void)signal;
  _exit(0);
}

int main(void) {
  signal(SIGTERM, end);
  signal(SIGINT, end);
  signal(SIGCHLD, SIG_IGN);  // children that end leave no zombie
  for (;;) pause();
}
