package plan

// Windows are those of a Hop with a time in them: the first has the bounds Start and End, and each next one begins StartStep
// and ends EndStep later. In microseconds.
type Windows struct {
	Start, End         int64
	StartStep, EndStep int64
	Count              int64
}

// WindowsAt returns the windows with t in them, earliest end first; none when slides leave a gap there.
func (n *Hop) WindowsAt(t int64) Windows {
	if n.Cumulate {
		start := t - floorMod(t-n.OffsetMicros, n.SizeMicros)
		end := t - floorMod(t-start, n.SlideMicros) + n.SlideMicros
		return Windows{start, end, 0, n.SlideMicros, (start+n.SizeMicros-end)/n.SlideMicros + 1}
	}
	// The earliest window with t in it has the smallest start above t − size.
	s := t - n.SizeMicros
	s += n.SlideMicros - floorMod(s-n.OffsetMicros, n.SlideMicros)
	w := Windows{s, s + n.SizeMicros, n.SlideMicros, n.SlideMicros, 0}
	if s <= t {
		w.Count = (t-s)/n.SlideMicros + 1
	}
	return w
}

func floorMod(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}
