package nexmark

import (
	"math"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// config is everything that a stream of events depends on.
type config struct {
	kind        kind
	events      int64   // the stream ends before this event number
	splits      int64   // number of splits
	seed        uint64  //
	startID     int64   // id of event number 0
	group       int64   // out-of-order group size; 1: in order
	delayMicros float64 // event time between two events
	base        int64   // event time of id 0, µs since 2000
	perSecond   float64 // wall-clock events/s over all splits; 0: as fast as possible
	generateAll bool    // also generate the fields that nobody reads
	maxRows     int     // rows a batch

	activePeople, inFlight, categories           int64
	hotAuction, hotSeller, hotBidder, hotChannel uint64 // ratio r: hot with probability 1 − 1/r
	avgPerson, avgAuction, avgBid                int64  // bytes
}

// defaultPerSecond paces an endless stream that nobody paced: the wall clock of RisingWave's default gap.
const defaultPerSecond = 10_000

// baseMillis2000 is 2015-07-15 00:00:00 in milliseconds since 2000-01-01.
const baseMillis2000 = 1436918400000 - 946684800000

func parseOptions(spec *connector.SourceSpec) (*config, error) {
	if f := spec.Connector.Format; f != "" && f != "NATIVE" && f != "PLAIN" {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "connector \"nexmark\" has no format %s", f).WithHint("Leave FORMAT … ENCODE … away.")
	}
	o := option.New(option.Connector("nexmark"), spec.Connector.Options)
	c := &config{kind: all}
	switch o.Enum("nexmark.table.type", "", "Person", "Auction", "Bid") {
	case "Person":
		c.kind = person
	case "Auction":
		c.kind = auction
	case "Bid":
		c.kind = bid
	}
	bounded := o.Has("nexmark.event.num")
	c.events = o.Int("nexmark.event.num", math.MaxInt64/4, -1, math.MaxInt64/4)
	if c.events < 0 {
		c.events, bounded = math.MaxInt64/4, false
	}
	c.splits = o.Int("nexmark.split.num", 8, 1, 1024)
	c.seed = uint64(o.Int("nexmark.seed", 0, math.MinInt64, math.MaxInt64))
	c.startID = o.Int("nexmark.start_id", 0, 0, 1<<40, "start_id", "nexmark.first.event.id")
	c.group = o.Int("nexmark.out.of.order.group.size", 1, 1, 1<<20)
	if c.group > 1 && c.group%953 == 0 {
		o.Fail("option \"nexmark.out.of.order.group.size\" must not be a multiple of 953")
	}
	c.perSecond = pace(o, bounded)
	rate := c.perSecond
	if rate == 0 {
		rate = defaultPerSecond
	}
	c.delayMicros = 1e6 / o.Float("nexmark.event.rate", rate, 1e-3, 1e12)
	c.base = baseMillis2000 * 1000
	if text := o.String("nexmark.base.time", ""); text != "" {
		settings := spec.Settings
		if settings == nil {
			settings = sqlio.DefaultSettings()
		}
		d, err := sqlio.ParseText(sqltypes.Timestamp, text, settings)
		if err != nil {
			o.Fail("option \"nexmark.base.time\" must be a timestamp, not %q", text)
		} else {
			c.base = d.(int64) / 1000 * 1000
		}
	}
	c.generateAll = o.Bool("nexmark.generate.all", true)
	c.maxRows = int(o.Int("nexmark.max.chunk.size", blockEvents, 1, 1<<16))
	c.activePeople = o.Int("nexmark.active.people", 1000, 1, 1<<30)
	c.inFlight = o.Int("nexmark.in.flight.auctions", 100, 1, 1<<30)
	c.categories = o.Int("nexmark.num.categories", 5, 1, 1<<30)
	c.hotAuction = uint64(o.Int("nexmark.hot.auction.ratio", 2, 1, 1<<30))
	c.hotSeller = uint64(o.Int("nexmark.hot.seller.ratio", 4, 1, 1<<30))
	c.hotBidder = uint64(o.Int("nexmark.hot.bidder.ratio", 4, 1, 1<<30))
	c.hotChannel = uint64(o.Int("nexmark.hot.channel.ratio", 2, 1, 1<<30))
	c.avgPerson = o.Int("nexmark.avg.person.byte.size", 200, 0, 1<<16)
	c.avgAuction = o.Int("nexmark.avg.auction.byte.size", 500, 0, 1<<16)
	c.avgBid = o.Int("nexmark.avg.bid.byte.size", 100, 0, 1<<16)
	return c, o.Done()
}

// pace reads the wall-clock options: events a second, or the gap between two events. A bounded stream runs
// as fast as it can unless told otherwise, an endless one at defaultPerSecond.
func pace(o *option.Set, bounded bool) float64 {
	def := float64(defaultPerSecond)
	if bounded {
		def = 0
	}
	if o.Has("nexmark.min.event.gap.in.ns") {
		def = 0
		if gap := o.Int("nexmark.min.event.gap.in.ns", 0, 0, math.MaxInt64); gap > 0 {
			def = 1e9 / float64(gap)
		}
	}
	if o.Has("nexmark.throttle") {
		def = o.Float("nexmark.throttle", 0, 0, 1e12)
	}
	return o.Float("nexmark.rows.per.second", def, 0, 1e12)
}
