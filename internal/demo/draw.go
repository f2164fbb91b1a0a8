package demo

import (
	"fmt"
	"strings"
	"time"
)

// Styles of a line. Colours are the terminal's own, so that they fit its background.
type style int

const (
	plain style = iota
	bold
	dim
)

type line struct {
	text  string
	style style
}

// picture lays a state out: as many lines as a screen of the given height takes, none wider than it.
func picture(s *state, hint, note string, width, height int) []line {
	var out []line
	add := func(st style, format string, args ...any) { out = append(out, line{fmt.Sprintf(format, args...), st}) }
	add(bold, "Millrace: an auction house as it happens")
	add(plain, "%s events, %s/s   persons %s   auctions %s   bids %s", commas(s.Events), commas(int64(s.PerSecond+0.5)),
		commas(s.Persons), commas(s.Auctions), commas(s.Bids))
	add(plain, "freshness %s   (age of the newest event that a query can see)", age(s.Age))
	add(plain, "")
	add(bold, "hot_auctions   most bids since %s UTC", s.Window.Format("15:04:05"))
	add(dim, "  %12s %10s %14s", "auction", "bids", "highest bid")
	most := int64(1)
	for _, h := range s.Hot {
		most = max(most, h.Bids)
	}
	for _, h := range s.Hot {
		add(plain, "  %12d %10s %14s  %s", h.Auction, commas(h.Bids), money(float64(h.Highest)), strings.Repeat("█", int(h.Bids*24/most)))
	}
	for range 5 - len(s.Hot) {
		add(plain, "")
	}
	add(plain, "")
	add(bold, "revenue_by_category   highest valid bid of each auction")
	add(dim, "  %12s %10s %14s %14s", "category", "auctions", "revenue", "dearest")
	for _, c := range s.Categories {
		add(plain, "  %12d %10s %14s %14s", c.Category, commas(c.Sold), money(c.Revenue), money(float64(c.Dearest)))
	}
	add(plain, "")
	add(bold, "sales_by_state   persons ⋈ auctions ⋈ bids, by the seller's state")
	add(dim, "  %12s %10s %14s %14s", "state", "bids", "volume", "highest bid")
	for _, g := range s.States {
		add(plain, "  %12s %10s %14s %14s", g.State, commas(g.Bids), money(g.Volume), money(float64(g.Highest)))
	}
	foot := []line{{}, {"try it:  " + hint, bold}, {`         SELECT * FROM revenue_by_category;   CREATE MATERIALIZED VIEW … AS SELECT … FROM bid …;   Ctrl-C ends`, dim}}
	if note != "" {
		foot = append(foot, line{note, dim})
	}
	if room := max(height-len(foot), 0); len(out) > room {
		out = out[:room]
	}
	out = append(out, foot...)
	if len(out) > height {
		out = out[len(out)-height:]
	}
	for i := range out {
		out[i].text = cut(out[i].text, width)
	}
	return out
}

// cut shortens a text to the given number of characters.
func cut(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return string(r[:width-1]) + "…"
}

// plainLine says in one line what the picture says in many.
func plainLine(s *state) string {
	hot := "none yet"
	if len(s.Hot) > 0 {
		hot = fmt.Sprintf("%d (%s bids)", s.Hot[0].Auction, commas(s.Hot[0].Bids))
	}
	revenue, bids := 0.0, int64(0)
	for _, c := range s.Categories {
		revenue += c.Revenue
	}
	for _, g := range s.States {
		bids += g.Bids
	}
	return fmt.Sprintf("%s  %s events, %s/s, freshness %s, hottest auction %s, revenue %s in %d categories, %s bids in %d states",
		s.At.UTC().Format("15:04:05"), commas(s.Events), commas(int64(s.PerSecond+0.5)), age(s.Age), hot, money(revenue),
		len(s.Categories), commas(bids), len(s.States))
}

func age(d time.Duration) string {
	if d < 0 {
		return "not known yet"
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// commas writes a whole number with its thousands apart.
func commas(n int64) string {
	s := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String()
}

// money writes an amount, which Nexmark counts in cents.
func money(cents float64) string {
	d := cents / 100
	switch {
	case d >= 1e12:
		return fmt.Sprintf("$%.2fT", d/1e12)
	case d >= 1e9:
		return fmt.Sprintf("$%.2fB", d/1e9)
	case d >= 1e7:
		return fmt.Sprintf("$%.2fM", d/1e6)
	}
	return "$" + commas(int64(d))
}
