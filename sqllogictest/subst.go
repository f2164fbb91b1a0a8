package sqllogictest

import (
	"fmt"
	"os"
	"strings"
)

// vars are the variables of a file. A loop's and a let's are always replaced; those of the environment
// and __TEST_DIR__ only after "control substitution on".
type vars struct {
	set     map[string]string
	on      bool
	testDir func() (string, error)
}

// replace puts the values of variables into text.
func (v *vars) replace(text string) (string, error) {
	if strings.IndexByte(text, '$') < 0 && (!v.on || !strings.Contains(text, "__")) {
		return text, nil
	}
	var b strings.Builder
	for len(text) > 0 {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			break
		}
		if v.on && i > 0 && text[i-1] == '\\' { // \$ is a plain dollar
			b.WriteString(text[:i-1] + "$")
			text = text[i+1:]
			continue
		}
		b.WriteString(text[:i])
		n, value, err := v.reference(text[i:])
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = text[i+n:]
	}
	b.WriteString(text)
	return v.special(b.String())
}

// reference replaces the reference that text starts with; it takes n bytes.
func (v *vars) reference(text string) (n int, value string, err error) {
	name, braced := "", strings.HasPrefix(text, "${")
	var fallback *string
	if braced {
		end := strings.IndexByte(text, '}')
		if end < 0 {
			return 1, "$", nil
		}
		n = end + 1
		name = text[2:end]
		if head, tail, ok := strings.Cut(name, ":"); ok {
			name, fallback = head, &tail
		}
	} else {
		end := 1
		for end < len(text) && isNameByte(text[end], end == 1) {
			end++
		}
		n, name = end, text[1:end]
	}
	if s, ok := v.set[name]; ok {
		return n, s, nil
	}
	if !v.on || name == "" {
		return n, text[:n], nil
	}
	if strings.HasPrefix(name, "__") {
		s, err := v.special(name)
		return n, s, err
	}
	if s, ok := os.LookupEnv(name); ok {
		return n, s, nil
	}
	if fallback != nil {
		return n, *fallback, nil
	}
	if braced {
		return 0, "", fmt.Errorf("variable %s is not set", name)
	}
	return n, text[:n], nil
}

func isNameByte(c byte, first bool) bool {
	return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || !first && c >= '0' && c <= '9'
}

// special replaces __TEST_DIR__, a folder that lives as long as the file runs.
func (v *vars) special(text string) (string, error) {
	if !v.on || !strings.Contains(text, "__TEST_DIR__") {
		return text, nil
	}
	dir, err := v.testDir()
	if err != nil {
		return "", err
	}
	return strings.ReplaceAll(text, "__TEST_DIR__", dir), nil
}
