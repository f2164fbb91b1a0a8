package sqlclient

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// errInterrupted says that the user pressed Ctrl-C instead of finishing a line.
var errInterrupted = errors.New("interrupted")

// lineReader reads input line by line, without line ends; io.EOF after the last.
type lineReader interface {
	read(prompt string) (string, error)
}

// plainLines reads a file or pipe.
type plainLines struct {
	r      *bufio.Reader
	prompt io.Writer // nil: none
	n      int       // lines read
}

func (p *plainLines) read(prompt string) (string, error) {
	if p.prompt != nil {
		io.WriteString(p.prompt, prompt)
	}
	line, err := p.r.ReadString('\n')
	if err != nil && line == "" {
		return "", err
	}
	p.n++
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}

// newLines returns a reader for a person: with line editing and history if in is a terminal.
func newLines(in io.Reader, out io.Writer) lineReader {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &plainLines{r: bufio.NewReader(in), prompt: out}
	}
	keys := &keyReader{r: in}
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{keys, out}, "")
	return &editedLines{fd: int(f.Fd()), t: t, keys: keys}
}

// editedLines reads from a terminal, which is in raw mode only while a line is being edited: at other
// times Ctrl-C must reach the process as a signal.
type editedLines struct {
	fd   int
	t    *term.Terminal
	keys *keyReader
}

func (e *editedLines) read(prompt string) (string, error) {
	old, err := term.MakeRaw(e.fd)
	if err != nil {
		return "", err
	}
	defer term.Restore(e.fd, old)
	if w, h, err := term.GetSize(e.fd); err == nil && w > 0 {
		e.t.SetSize(w, h)
	}
	e.t.SetPrompt(prompt)
	e.keys.interrupted = false
	line, err := e.t.ReadLine()
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	if e.keys.interrupted && err == nil {
		return "", errInterrupted
	}
	return line, err
}

// keyReader turns Ctrl-C into keys that clear the line and end it.
type keyReader struct {
	r           io.Reader
	pending     []byte
	interrupted bool
}

func (k *keyReader) Read(b []byte) (int, error) {
	const ctrlC, clearLine = 3, "\x05\x15\r" // to the end, delete to the start, return
	if len(k.pending) == 0 {
		n, err := k.r.Read(b)
		at := -1
		for i, c := range b[:n] {
			if c == ctrlC {
				at = i
				break
			}
		}
		if err != nil || at < 0 {
			return n, err
		}
		k.interrupted = true
		k.pending = append([]byte(nil), clearLine...)
	}
	n := copy(b, k.pending)
	k.pending = k.pending[n:]
	return n, nil
}
