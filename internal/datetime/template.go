package datetime

import (
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// pattern is one keyword of a to_char or to_timestamp template.
type pattern uint8

const (
	pNone pattern = iota
	pAD
	pADDots
	pAM
	pAMDots
	pCC
	pDAY
	pDDD
	pDD
	pDY
	pD
	pFF1
	pFF2
	pFF3
	pFF4
	pFF5
	pFF6
	pFX
	pHH24
	pHH12
	pIDDD
	pID
	pIW
	pIYYY
	pIYY
	pIY
	pI
	pJ
	pMI
	pMM
	pMONTH
	pMON
	pMS
	pOF
	pQ
	pRM
	pSSSS
	pSS
	pTZH
	pTZM
	pTZ
	pUS
	pWW
	pW
	pYcomma
	pYYYY
	pYYY
	pYY
	pY
)

// letterCase says how a textual field is to be written.
type letterCase uint8

const (
	lower letterCase = iota
	upper
	capital
)

type keyword struct {
	text  string // in upper case
	id    pattern
	digit bool // stands for digits only
}

// keywords is searched in order; a longer keyword comes before its prefixes.
var keywords = []keyword{
	{"A.D.", pADDots, false}, {"A.M.", pAMDots, false}, {"AD", pAD, false}, {"AM", pAM, false}, {"B.C.", pADDots, false},
	{"BC", pAD, false}, {"CC", pCC, true}, {"DAY", pDAY, false}, {"DDD", pDDD, true}, {"DD", pDD, true}, {"DY", pDY, false},
	{"D", pD, true}, {"FF1", pFF1, true}, {"FF2", pFF2, true}, {"FF3", pFF3, true}, {"FF4", pFF4, true}, {"FF5", pFF5, true},
	{"FF6", pFF6, true}, {"FX", pFX, false}, {"HH24", pHH24, true}, {"HH12", pHH12, true}, {"HH", pHH12, true}, {"IDDD", pIDDD, true},
	{"ID", pID, true}, {"IW", pIW, true}, {"IYYY", pIYYY, true}, {"IYY", pIYY, true}, {"IY", pIY, true}, {"I", pI, true}, {"J", pJ, true},
	{"MI", pMI, true}, {"MM", pMM, true}, {"MONTH", pMONTH, false}, {"MON", pMON, false}, {"MS", pMS, true}, {"OF", pOF, false},
	{"P.M.", pAMDots, false}, {"PM", pAM, false}, {"Q", pQ, true}, {"RM", pRM, false}, {"SSSSS", pSSSS, true}, {"SSSS", pSSSS, true},
	{"SS", pSS, true}, {"TZH", pTZH, false}, {"TZM", pTZM, true}, {"TZ", pTZ, false}, {"US", pUS, true}, {"WW", pWW, true}, {"W", pW, true},
	{"Y,YYY", pYcomma, true}, {"YYYY", pYYYY, true}, {"YYY", pYYY, true}, {"YY", pYY, true}, {"Y", pY, true},
}

// node is one piece of a template.
type node struct {
	id     pattern // pNone: literal text
	name   string  // the keyword as PostgreSQL names it in errors
	letter letterCase
	digit  bool
	fill   bool // FM: no padding
	local  bool // TM
	th     byte // 't' or 'T': ordinal suffix in that case
	// Of literals: the character and what it is to the parser.
	text      string
	bare      bool // outside quotes
	separator bool
	space     bool
}

// matchKeyword finds the keyword that s begins with. All letters must be of one case, but names may be capitalised.
func matchKeyword(s string) (keyword, letterCase, bool) {
	for _, k := range keywords {
		if len(s) < len(k.text) || s[0]|0x20 != k.text[0]|0x20 {
			continue
		}
		head := s[:len(k.text)]
		switch {
		case head == k.text:
			return k, upper, true
		case head == strings.ToLower(k.text):
			return k, lower, true
		case (k.id == pDAY || k.id == pDY || k.id == pMONTH || k.id == pMON) && head == k.text[:1]+strings.ToLower(k.text[1:]):
			return k, capital, true
		}
	}
	return keyword{}, lower, false
}

func isSeparator(c byte) bool { return c > ' ' && c < 0x7f && !isAlnum(c) }

// template is a parsed format. But for shown it is never written after parsing.
type template struct {
	format string
	nodes  []node
	zoned  bool  // names the zone
	micros int64 // the smallest unit that a timestamp's text depends on; 0: below a second
	shown  [64]atomic.Pointer[shownText]
}

// templates remembers formats, by a hash: a query uses few, for all of its rows.
var templates [32]atomic.Pointer[template]

func slotOf(format string) *atomic.Pointer[template] {
	h := uint32(len(format))
	for i := range len(format) {
		h = h*31 + uint32(format[i])
	}
	return &templates[h%uint32(len(templates))]
}

// parseTemplate cuts a format into nodes, which must not be written.
func parseTemplate(format string) []node { return templateOf(format).nodes }

func templateOf(format string) *template {
	slot := slotOf(format)
	if t := slot.Load(); t != nil && t.format == format {
		return t
	}
	format = strings.Clone(format)
	t := &template{format: format, nodes: splitTemplate(format), micros: MicrosPerDay}
	for i := range t.nodes {
		t.micros = min(t.micros, t.nodes[i].id.micros())
		switch t.nodes[i].id {
		case pTZ, pTZH, pTZM, pOF:
			t.zoned = true
		}
	}
	slot.Store(t)
	return t
}

// micros is the length of time for which a field stays the same, up to a day.
func (p pattern) micros() int64 {
	switch p {
	case pFF1, pFF2, pFF3, pFF4, pFF5, pFF6, pMS, pUS:
		return 0
	case pSS, pSSSS:
		return MicrosPerSecond
	case pMI:
		return MicrosPerMinute
	case pHH12, pHH24, pAM, pAMDots:
		return MicrosPerHour
	}
	return MicrosPerDay
}

func splitTemplate(format string) []node {
	var nodes []node
	for format != "" {
		n := node{}
		switch format[:min(2, len(format))] { // a prefix before nothing is dropped
		case "FM", "fm":
			n.fill, format = true, format[2:]
		case "TM", "tm":
			n.local, format = true, format[2:]
		}
		if format == "" {
			break
		}
		k, letter, found := matchKeyword(format)
		if !found {
			nodes, format = literal(nodes, format)
			continue
		}
		n.id, n.letter, n.digit = k.id, letter, k.digit
		n.name = format[:len(k.text)]
		format = format[len(k.text):]
		switch format[:min(2, len(format))] {
		case "TH", "th":
			n.th, format = format[0], format[2:]
		case "SP":
			format = format[2:]
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// literal reads quoted text, an escaped character or a plain one.
func literal(nodes []node, format string) ([]node, string) {
	if format[0] == '"' {
		format = format[1:]
		for format != "" && format[0] != '"' {
			if format[0] == '\\' && len(format) > 1 {
				format = format[1:]
			}
			_, n := utf8.DecodeRuneInString(format)
			nodes = append(nodes, node{text: format[:n]})
			format = format[n:]
		}
		return nodes, strings.TrimPrefix(format, `"`)
	}
	if format[0] == '\\' && len(format) > 1 && format[1] == '"' {
		format = format[1:]
	}
	_, n := utf8.DecodeRuneInString(format)
	lit := node{text: format[:n], bare: true}
	if n == 1 {
		lit.space = isSpace(format[0])
		lit.separator = isSeparator(format[0])
	}
	return append(nodes, lit), format[n:]
}
