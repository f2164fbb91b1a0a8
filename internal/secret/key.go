// Package secret keeps the values of secrets: it encrypts them for the catalog, and puts them in the place of
// the references in a connector's options.
//
// The idea: a value is in the clear only between Reveal and the connector that asked for it; everything that is
// stored, shown or logged has the sealed bytes or the secret's name. The key is the operator's, or is made at the
// first start in a file that only the owner of the data folder can read.
//
// A Vault may be used by any goroutine.
//
// Invariants: no error of this package holds a value; a sealed value opens only under the id that it was sealed for.
//
// It does not store secrets (meta/catalog) and does not know statements (frontend/session). Start at Vault.
package secret

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Key encrypts all secrets of a cluster: AES-256.
type Key [32]byte

// ParseKey reads a key: 32 bytes in hexadecimal or base64.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	b, err := hex.DecodeString(text)
	if err != nil {
		b, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil || len(b) != len(Key{}) {
		return Key{}, errors.New("the secret key must be 32 bytes, written as 64 hexadecimal digits or in base64")
	}
	return Key(b), nil
}

// KeyFile reads the key in a file; without one it makes a key and the file, which only its owner can read.
func KeyFile(path string) (Key, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		k, err := ParseKey(string(b))
		if err != nil {
			return Key{}, fmt.Errorf("read %s: %w", path, err)
		}
		return k, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Key{}, fmt.Errorf("read the secret key: %w", err)
	}
	var k Key
	_, _ = rand.Read(k[:]) // never fails
	if err := writeDurably(path, hex.EncodeToString(k[:])+"\n"); err != nil {
		return Key{}, fmt.Errorf("write the secret key: %w", err)
	}
	return k, nil
}

// writeDurably makes a file of mode 0600 that is there whole or not at all.
func writeDurably(path, text string) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}
