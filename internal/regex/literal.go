package regex

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

// literal is a text that every match contains. Searching for it first is far cheaper than running a pattern over texts
// that cannot match, or over the part of a text in which no match can begin.
type literal struct {
	text []byte
	// before is how far behind the beginning of a match the text begins at most. Unit: bytes.
	before int
	// rest finds matches in what is left when a text's beginning is cut off: there ^ matches nowhere.
	rest *regexp.Regexp
}

// shortestLiteral is what is worth searching for. Unit: bytes.
const shortestLiteral = 3

// literalOf looks for a literal of a pattern; nil when there is none of use.
func literalOf(pattern string, longest bool) *literal {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	l := &literal{}
	if l.find(re, 0); len(l.text) < shortestLiteral || !withoutBegin(re) {
		return nil
	}
	if l.rest, err = regexp.Compile(re.String()); err != nil {
		return nil
	}
	if longest {
		l.rest.Longest()
	}
	return l
}

// find keeps the longest literal of re, which begins at most before bytes behind the beginning of the match, and returns
// how many bytes re may take; −1: any number.
func (l *literal) find(re *syntax.Regexp, before int) int {
	switch re.Op {
	case syntax.OpCapture:
		return l.find(re.Sub[0], before)
	case syntax.OpConcat:
		at := before
		for _, sub := range re.Sub {
			n := l.find(sub, at)
			if n < 0 || at < 0 {
				at = -1
				continue
			}
			at += n
		}
		if at < 0 {
			return -1
		}
		return at - before
	case syntax.OpLiteral:
		if text := []byte(string(re.Rune)); before >= 0 && re.Flags&syntax.FoldCase == 0 && len(text) > len(l.text) {
			l.text, l.before = text, before
		}
	}
	return mostBytes(re)
}

// mostBytes returns how many bytes re may take; −1: any number.
func mostBytes(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return len(string(re.Rune))
		}
		return utf8.UTFMax * len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return utf8.UTFMax
	case syntax.OpStar, syntax.OpPlus:
		return -1
	case syntax.OpRepeat:
		n := mostBytes(re.Sub[0])
		if n < 0 || re.Max < 0 {
			return -1
		}
		return n * re.Max
	case syntax.OpCapture, syntax.OpQuest:
		return mostBytes(re.Sub[0])
	case syntax.OpConcat, syntax.OpAlternate:
		total := 0
		for _, sub := range re.Sub {
			n := mostBytes(sub)
			switch {
			case n < 0:
				return -1
			case re.Op == syntax.OpConcat:
				total += n
			default:
				total = max(total, n)
			}
		}
		return total
	}
	return 0 // matches an empty text, or none
}

// withoutBegin makes the beginning of the text match nowhere in re; false when re looks behind in another way.
func withoutBegin(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginText:
		re.Op = syntax.OpNoMatch
	case syntax.OpBeginLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return false
	}
	for _, sub := range re.Sub {
		if !withoutBegin(sub) {
			return false
		}
	}
	return true
}

// search is FindSubmatchIndex of the pattern whose literal l is.
func (l *literal) search(whole *regexp.Regexp, s []byte) []int {
	at := bytes.Index(s, l.text)
	if at < 0 {
		return nil
	}
	begin := at - l.before
	for begin > 0 && !utf8.RuneStart(s[begin]) {
		begin--
	}
	if begin <= 0 {
		return whole.FindSubmatchIndex(s)
	}
	return shiftBy(l.rest.FindSubmatchIndex(s[begin:]), begin)
}
