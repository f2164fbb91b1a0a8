package mysql

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/connector/mysql/binlog"
	"github.com/millrace/millrace/connector/mysql/wire"
	"github.com/millrace/millrace/internal/sqlerr"
)

// binlogReader reads the events of the log from a point on, and knows where it is.
type binlogReader struct {
	cfg    *config
	conn   *wire.Conn
	dec    *binlog.Decoder
	from   *point
	file   string
	number uint64
	pos    uint64 // after the last event
}

// openLog asks a server for its log. id is the number as a replica.
func openLog(ctx context.Context, u *Upstream, from *point, id uint32) (*binlogReader, error) {
	c, err := u.cfg.connect(ctx)
	if err != nil {
		return nil, err
	}
	r := &binlogReader{cfg: u.cfg, conn: c, from: from, file: from.File, number: fileNumber(from.File), pos: from.Pos}
	if err := r.start(ctx, u, from, id); err != nil {
		c.Close()
		return nil, u.cfg.explainLog(from, err)
	}
	return r, nil
}

func (r *binlogReader) start(ctx context.Context, u *Upstream, from *point, id uint32) error {
	c := r.conn
	period := r.cfg.heartbeat.Nanoseconds()
	setup := []string{
		fmt.Sprintf("SET @master_heartbeat_period = %d, @source_heartbeat_period = %d", period, period),
	}
	if c.MariaDB {
		setup = append(setup, "SET @mariadb_slave_capability = 4, @slave_gtid_strict_mode = 0, @slave_gtid_ignore_duplicates = 0")
	} else {
		uuid := quote(r.cfg.replicaUUID())
		if id != r.cfg.serverID {
			uuid = "UUID()"
		}
		setup = append(setup, "SET @slave_uuid = "+uuid+", @replica_uuid = @slave_uuid")
	}
	for _, sql := range setup {
		if err := c.Exec(ctx, sql); err != nil {
			return err
		}
	}
	rows, err := c.Rows(ctx, "SELECT @@GLOBAL.binlog_checksum")
	checksums := err == nil && strings.EqualFold(rows[0][0], "CRC32")
	switch {
	case wire.CodeOf(err) == wire.ErrUnknownVariable: // before MySQL 5.6 there are none
	case err != nil:
		return err
	default:
		sum := quote(rows[0][0])
		if err := c.Exec(ctx, "SET @master_binlog_checksum = "+sum+", @source_binlog_checksum = "+sum); err != nil {
			return err
		}
	}
	r.dec = binlog.NewDecoder(checksums, c.MariaDB)
	if err := c.Register(ctx, id, replicaHost); err != nil {
		return err
	}
	switch {
	case from.By == byGTID:
		if c.MariaDB {
			return errOtherKind(from)
		}
		return c.DumpGTID(ctx, id, from.set.Encode())
	case from.By == byMaria && !c.MariaDB:
		return errOtherKind(from)
	case from.By == byMaria && from.text() != "":
		if err := c.Exec(ctx, "SET @slave_connect_state = "+quote(from.text())); err != nil {
			return err
		}
		return c.Dump(ctx, id, "", 4)
	case from.Server != u.server:
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "the position %s:%d is of the server %d, and MySQL at %s is the server %d",
			from.File, from.Pos, from.Server, r.cfg.addr(), u.server).
			WithHint("Positions by file are of one server. With GTIDs a source can go on at another one.")
	case from.Pos > math.MaxUint32:
		return fmt.Errorf("position %s:%d lies beyond 4 GiB", from.File, from.Pos)
	}
	return c.Dump(ctx, id, from.File, uint32(from.Pos))
}

// replicaHost is what SHOW REPLICAS lists us as.
const replicaHost = "millrace"

func errOtherKind(p *point) error {
	return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "the position %s is not of this kind of server", p).
		WithHint("MySQL and MariaDB number transactions in different ways: a source cannot go on from one at the other.")
}

// next returns the next event, valid until the following call. Rotations are its own business, too.
func (r *binlogReader) next(ctx context.Context) (binlog.Event, error) {
	// A server with nothing to say sends heartbeats.
	raw, err := r.conn.Event(ctx, 3*r.cfg.heartbeat+2*time.Second)
	if err != nil {
		if ctx.Err() != nil {
			return binlog.Event{}, err
		}
		return binlog.Event{}, r.cfg.explainLog(r.from, err)
	}
	e, err := r.dec.Decode(raw)
	if err != nil {
		return e, fmt.Errorf("read the binary log at %s:%d: %w", r.file, r.pos, err)
	}
	if e.Type == binlog.TypeRotate {
		file, pos, err := binlog.Rotate(e)
		if err != nil {
			return e, err
		}
		r.file, r.number, r.pos = file, fileNumber(file), pos
		return e, nil
	}
	if e.LogPos != 0 && e.Flags&binlog.FlagArtificial == 0 {
		r.pos = widen(r.pos, e.LogPos)
	}
	return e, nil
}

// widen completes the low 32 bits of a position that is not before pos.
func widen(pos uint64, low uint32) uint64 {
	p := pos&^math.MaxUint32 | uint64(low)
	if p < pos {
		p += 1 << 32
	}
	return p
}

func (r *binlogReader) position() cdc.Position { return cdc.Position{A: r.number, B: r.pos} }

func (r *binlogReader) close() error { return r.conn.Close() }
