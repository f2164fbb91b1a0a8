package datetime

import "time"

func ToCharTimestamp(ts int64, format string) (_ string, ok bool, err error) { return }
func ToCharTimestamptz(ts int64, format string, loc *time.Location) (_ string, ok bool, err error) {
	return
}
func ToCharInterval(iv Interval, format string) (_ string, ok bool, err error) { return }
func ToTimestamp(text, format string, loc *time.Location) (_ int64, err error) { return }
func ToDate(text, format string) (_ int64, err error)                          { return }
