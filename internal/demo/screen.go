package demo

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"
)

// screen shows states: in place on a terminal, line by line elsewhere.
type screen struct {
	out           *os.File
	inPlace       bool
	hint          string
	note          func() string
	width, height int
	buf           bytes.Buffer
}

// Escape sequences that every terminal of the last decades knows.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearScreen = "\x1b[2J"
	clearRight  = "\x1b[K"
	clearBelow  = "\x1b[J"
	boldOn      = "\x1b[1m"
	dimOn       = "\x1b[2m"
	styleOff    = "\x1b[0m"
)

func newScreen(o Options) *screen {
	s := &screen{out: o.Out, inPlace: isTerminal(o.Out), note: o.Note,
		hint: fmt.Sprintf("psql -h %s -p %d -d dev -U root", o.Host, o.Port)}
	if s.inPlace {
		_, _ = s.out.WriteString(enterScreen)
	} else {
		_, _ = fmt.Fprintf(s.out, "views %s, %s, %s over source nexmark; try them: %s\n", hotView, categoryView, statesView, s.hint)
	}
	return s
}

func (s *screen) each() time.Duration {
	if s.inPlace {
		return drawEach
	}
	return lineEach
}

func (s *screen) show(st *state) error {
	if !s.inPlace {
		_, err := fmt.Fprintln(s.out, plainLine(st))
		return err
	}
	// The size is asked for each time, so that a resized window is right at the next picture.
	w, h, err := term.GetSize(int(s.out.Fd()))
	if err != nil || w < 1 || h < 1 {
		w, h = 80, 24
	}
	s.buf.Reset()
	if w != s.width || h != s.height {
		s.width, s.height = w, h
		s.buf.WriteString(clearScreen)
	}
	s.draw(picture(st, s.hint, s.note(), w, h))
	_, err = s.out.Write(s.buf.Bytes())
	return err
}

// draw writes lines over the old ones; what is left of those is cleared, never the whole screen, which would flicker.
func (s *screen) draw(lines []line) {
	s.buf.WriteString(home)
	for i, l := range lines {
		if i > 0 {
			s.buf.WriteString("\r\n")
		}
		switch l.style {
		case bold:
			s.buf.WriteString(boldOn)
		case dim:
			s.buf.WriteString(dimOn)
		}
		s.buf.WriteString(l.text)
		if l.style != plain {
			s.buf.WriteString(styleOff)
		}
		s.buf.WriteString(clearRight)
	}
	s.buf.WriteString(clearBelow)
}

// close gives the terminal back.
func (s *screen) close() {
	if s.inPlace {
		_, _ = s.out.WriteString(leaveScreen)
	}
}
