//go:build millrace_killpoints

package killpoint

import (
	"os"
	"syscall"
	"time"
)

// Here ends the process with SIGKILL when MILLRACE_KILL_AT names this point; MILLRACE_KILL_AFTER (a duration) lets it go on for so long first.
func Here(name string) {
	if os.Getenv("MILLRACE_KILL_AT") != name {
		return
	}
	if d, err := time.ParseDuration(os.Getenv("MILLRACE_KILL_AFTER")); err == nil {
		time.Sleep(d)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
