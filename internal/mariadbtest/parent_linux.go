package mariadbtest

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the child killed when the thread that starts it ends.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
