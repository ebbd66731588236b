/*
 * Between fork and exec the child has copies of everything, the owner's sockets of our tables
 * included, and memory in which other threads may have held locks: only system calls happen there,
 * and the first makes it die with us.
 */
#include "agent/helper/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { FD_SAFE = 16 }; /* above every target number */

static void become(const struct child *c, char *const argv[], const sigset_t *none, pid_t parent)
{
	static const int polite[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	char *const envp[] = { NULL };
	int safe[CHILD_FDS_MAX];
	int i;

	if (c->dies_with_us && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		_exit(127);
	for (i = 0; i < c->fd_count; i++) {
		safe[i] = c->fds[i] >= 0 ? fcntl(c->fds[i], F_DUPFD_CLOEXEC, FD_SAFE)
					 : open("/dev/null", O_RDWR | O_CLOEXEC);
		if (safe[i] < 0)
			_exit(127);
	}
	for (i = 0; i < c->fd_count; i++) {
		/* dup2() onto itself would leave it close-on-exec. */
		if (safe[i] == i ? fcntl(i, F_SETFD, 0) < 0 : dup2(safe[i], i) < 0)
			_exit(127);
	}
	/* Ignored before they are unblocked: they stay so in the new program. */
	for (i = 0; c->deaf && i < (int)(sizeof(polite) / sizeof(polite[0])); i++)
		signal(polite[i], SIG_IGN);
	sigprocmask(SIG_SETMASK, none, NULL);
	execve("/proc/self/exe", argv, envp);
	_exit(127);
}

pid_t child_start(const struct child *c)
{
	char *argv[6] = { "lasthop-helper" };
	pid_t parent = getpid();
	sigset_t none;
	pid_t pid;
	int i;

	for (i = 0; i < 4 && c->argv[i]; i++)
		argv[i + 1] = (char *)c->argv[i];
	sigemptyset(&none);

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become(c, argv, &none, parent);
	return pid;
}
