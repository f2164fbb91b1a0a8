package peer

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

// profiler does what Serve is told.
type profiler struct{ cpu *os.File }

func (p *profiler) do(words []string) error {
	switch {
	case len(words) == 2 && words[0] == "profile":
		f, err := os.Create(words[1])
		if err != nil {
			return err
		}
		p.cpu = f
		return pprof.StartCPUProfile(f)
	case len(words) == 1 && words[0] == "profile":
		pprof.StopCPUProfile()
		return p.cpu.Close()
	case len(words) == 2 && words[0] == "mem":
		f, err := os.Create(words[1])
		if err != nil {
			return err
		}
		runtime.GC()
		if err := pprof.Lookup("heap").WriteTo(f, 0); err != nil {
			return err
		}
		return f.Close()
	}
	return fmt.Errorf("unknown command %q", words)
}
