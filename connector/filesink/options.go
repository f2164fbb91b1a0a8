package filesink

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Options are what sinks into files have in common.
type Options struct {
	force     bool // force_append_only
	prefix    string
	suffix    string
	compress  string // of texts: none, gzip, zstd
	partition []int  // columns
	period    string // path_partition_prefix: none, month, day, hour
	size      int64  // a file ends behind so many bytes
	rows      int64  // … or rows; 0: any number
	after     time.Duration
}

// Parse reads the common options of spec from o.
func Parse(o *option.Set, spec *connector.SinkSpec) *Options {
	c := &Options{}
	mode, force := codec.SinkMode(o, spec)
	c.force = force
	if mode != codec.AppendOnly {
		o.Fail("files can only be appended to: use type = 'append-only', with force_append_only = 'true' if rows change")
	}
	instance := spec.Instance
	if instance == "" {
		instance = spec.Name + "-" + strconv.Itoa(int(spec.ID))
	}
	c.prefix = safeName(instance)
	c.suffix = map[string]string{"CSV": ".csv", "PARQUET": ".parquet"}[spec.Connector.Encode]
	if c.suffix == "" {
		c.suffix = ".json"
	}
	c.compress = o.Enum("compression", "none", "none", "gzip", "zstd")
	if c.compress != "none" && spec.Connector.Encode == "PARQUET" {
		o.Fail("option \"compression\" is for JSON and CSV: Parquet is compressed inside")
	}
	c.suffix += map[string]string{"none": "", "gzip": ".gz", "zstd": ".zst"}[c.compress]
	c.period = o.Enum("path_partition_prefix", "none", "none", "month", "day", "hour")
	for _, name := range strings.Split(o.String("partition_by", ""), ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		i := slices.IndexFunc(spec.Columns, func(col catalog.Column) bool { return col.Name == name })
		if i < 0 {
			o.Fail("column %q named in \"partition_by\" does not exist", name)
			continue
		}
		if k := spec.Columns[i].Type.Kind; k == sqltypes.KFloat4 || k == sqltypes.KFloat8 || k == sqltypes.KJSON || k == sqltypes.KJSONB || k == sqltypes.KBytea ||
			k == sqltypes.KArray || k == sqltypes.KRecord || k == sqltypes.KMap {
			o.Fail("column %q of type %s cannot name folders", name, spec.Columns[i].Type)
		}
		c.partition = append(c.partition, i)
	}
	c.size = o.Int("rollover_bytes", 128<<20, 1, 1<<40)
	c.rows = o.Int("max_row_count", 0, 1, 1<<40)
	c.after = o.Duration("rollover_seconds", 10*time.Second, 0, 24*time.Hour, time.Second)
	return c
}

// safeName makes a text usable in a file's name.
func safeName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
}
