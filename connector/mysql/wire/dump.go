package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

const (
	comBinlogDump     = 0x12
	comRegisterSlave  = 0x15
	comBinlogDumpGTID = 0x1e
)

// dumpGTIDByPosition tells MySQL that the position is given by a set of transactions.
const dumpGTIDByPosition = 0x04

// ErrDumpEnded says that the server has ended the dump without an error: it is shutting down, or another client took the server id.
var ErrDumpEnded = errors.New("the server ended the dump of its binary log")

// Register makes the connection known as a replica, so that SHOW REPLICAS lists it.
func (c *Conn) Register(ctx context.Context, serverID uint32, host string) error {
	release, err := c.bound(ctx, queryTimeout)
	if err != nil {
		return err
	}
	defer release()
	b := binary.LittleEndian.AppendUint32(nil, serverID)
	host = host[:min(len(host), 60)]
	b = append(append(b, byte(len(host))), host...)
	b = append(b, 0, 0, 0, 0) // no user, no password, no port
	b = append(b, 0, 0, 0, 0) // rank
	b = append(b, 0, 0, 0, 0) // the server fills in its own id
	if err := c.command(comRegisterSlave, b); err != nil {
		return because(ctx, err)
	}
	p, err := c.read()
	if err == nil && len(p) > 0 && p[0] == 0xff {
		err = asError(p)
	}
	return because(ctx, err)
}

// Dump asks for the binary log from a position in a file on. With file "" the server begins at its first file, or
// where MariaDB's @slave_connect_state says.
func (c *Conn) Dump(ctx context.Context, serverID uint32, file string, pos uint32) error {
	b := binary.LittleEndian.AppendUint32(nil, pos)
	b = append(b, 0, 0) // blocking: wait at the end of the log
	b = binary.LittleEndian.AppendUint32(b, serverID)
	return c.startDump(ctx, comBinlogDump, append(b, file...))
}

// DumpGTID asks MySQL for all transactions that are not in a set (in its binary form).
func (c *Conn) DumpGTID(ctx context.Context, serverID uint32, set []byte) error {
	b := binary.LittleEndian.AppendUint16(nil, dumpGTIDByPosition)
	b = binary.LittleEndian.AppendUint32(b, serverID)
	b = append(b, 0, 0, 0, 0) // no file name
	b = binary.LittleEndian.AppendUint64(b, 4)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(set)))
	return c.startDump(ctx, comBinlogDumpGTID, append(b, set...))
}

func (c *Conn) startDump(ctx context.Context, code byte, body []byte) error {
	release, err := c.bound(ctx, queryTimeout)
	if err != nil {
		return err
	}
	defer release()
	return because(ctx, c.command(code, body))
}

// Event returns the next event of a dump, valid until the next call. It fails when the server has been silent for
// longer than silence, which is longer than the period of its heartbeats. After an error of ctx it can be called again.
func (c *Conn) Event(ctx context.Context, silence time.Duration) ([]byte, error) {
	if !c.buffered() {
		release, err := c.bound(ctx, silence)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	p, err := c.read()
	if err != nil {
		return nil, because(ctx, err)
	}
	if len(p) == 0 {
		return nil, errShort
	}
	switch p[0] {
	case 0x00:
		return p[1:], nil
	case 0xff:
		return nil, asError(p)
	case 0xfe:
		if len(p) < 9 {
			return nil, ErrDumpEnded
		}
	}
	return nil, fmt.Errorf("packet of kind %#x in the dump of the binary log", p[0])
}

// Waits reports whether the next Event may have to wait for the server.
func (c *Conn) Waits() bool { return !c.buffered() }
