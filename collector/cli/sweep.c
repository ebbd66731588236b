#include "collector/cli/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Who still writes into the directory dies with us, too, a moment later. */
enum { TRIES = 100, NAP_US = 50000 };

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void wait_and_remove(int fd, const char *dir)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	char none;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		signal(ends[i], SIG_IGN);
	setsid();
	/* Nobody who reads what we print must wait for this process. */
	if (dup2(fd, STDIN_FILENO) < 0 || close_range(STDIN_FILENO + 1, ~0U, 0) < 0)
		_exit(1);
	while (read(STDIN_FILENO, &none, 1) != 0)
		;
	for (int i = 0; i < TRIES; i++) {
		nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
		if (access(dir, F_OK) < 0)
			_exit(0);
		usleep(NAP_US);
	}
	_exit(1);
}

int sweep_begin(struct sweep *s, const char *dir)
{
	int ends[2], err;

	*s = (struct sweep){ .fd = -1 };
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	s->pid = fork();
	if (s->pid == 0)
		wait_and_remove(ends[0], dir);
	err = s->pid < 0 ? -errno : 0;
	close(ends[0]);
	if (err < 0) {
		close(ends[1]);
		s->pid = 0;
		return err;
	}
	s->fd = ends[1];
	return 0;
}

void sweep_end(struct sweep *s)
{
	if (!s->pid)
		return;
	close(s->fd);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	s->pid = 0;
}
