package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// formatVersion stands first in every sealed value; see docs/format/catalog.md.
const formatVersion = 1

// Vault seals and opens secrets.
type Vault struct {
	aead    cipher.AEAD
	catalog func() *catalog.Snapshot
	dir     string // of the files for AS FILE
}

// New returns a vault under a key. snapshot gives the catalog as it is now; dir is where the values of secrets are
// written that an option wants AS FILE. It is emptied.
func New(k Key, snapshot func() *catalog.Snapshot, dir string) (*Vault, error) {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		return nil, err
	}
	v := &Vault{catalog: snapshot, dir: dir}
	if v.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	return v, v.Clear()
}

// Clear removes the files of secrets in the clear.
func (v *Vault) Clear() error {
	if err := os.RemoveAll(v.dir); err != nil {
		return fmt.Errorf("remove files of secrets: %w", err)
	}
	return nil
}

func additional(id catalog.ID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// Seal encrypts the value of the secret with an id.
func (v *Vault) Seal(id catalog.ID, value string) []byte {
	nonce := make([]byte, v.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return v.aead.Seal(append([]byte{formatVersion}, nonce...), nonce, []byte(value), additional(id))
}

// Value decrypts a secret; 55000 when it was sealed under another key.
func (v *Vault) Value(s *catalog.Secret) (string, error) {
	n := 1 + v.aead.NonceSize()
	if len(s.Sealed) > n && s.Sealed[0] == formatVersion {
		if plain, err := v.aead.Open(nil, s.Sealed[1:n], s.Sealed[n:], additional(s.ID)); err == nil {
			return string(plain), nil
		}
	}
	return "", sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "secret %q cannot be decrypted with this server's secret key", s.Name).
		WithHint("Start the server with the key that it was made under (--secret-key, or the file secret.key in the data folder), or give it a new value with ALTER SECRET.")
}

// ValueOf decrypts the secret with an id.
func (v *Vault) ValueOf(id catalog.ID) (string, error) {
	s := v.catalog().Secrets[id]
	if s == nil {
		return "", sqlerr.New(sqlerr.UndefinedObject, "secret %d does not exist", id)
	}
	return v.Value(s)
}

// Reveal returns a connector's options with the values of its secrets, and those values, for Redactor.
func (v *Vault) Reveal(c catalog.Connector) (out catalog.Connector, values []string, err error) {
	out = c
	reveal := func(options map[string]string, refs map[string]catalog.SecretRef) (map[string]string, error) {
		if len(refs) == 0 {
			return options, nil
		}
		options = maps.Clone(options)
		for name, ref := range refs {
			value, err := v.ValueOf(ref.ID)
			if err != nil {
				return nil, err
			}
			values = append(values, value)
			if ref.File {
				if value, err = v.file(ref.ID, value); err != nil {
					return nil, err
				}
			}
			options[name] = value
		}
		return options, nil
	}
	if out.Options, err = reveal(c.Options, c.Secrets); err != nil {
		return c, nil, err
	}
	if out.FormatOptions, err = reveal(c.FormatOptions, c.FormatSecrets); err != nil {
		return c, nil, err
	}
	return out, values, nil
}

// file writes a value where an option wants a path. Each version of a secret has a file of its own, so that a
// reader never meets half of one.
func (v *Vault) file(id catalog.ID, value string) (string, error) {
	path := filepath.Join(v.dir, fmt.Sprintf("%d-%d", id, v.catalog().Secrets[id].Version))
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	err := os.MkdirAll(v.dir, 0o700)
	if err == nil {
		err = writeDurably(path, value)
	}
	if err != nil {
		return "", fmt.Errorf("write the file of secret %d: %w", id, err)
	}
	return path, nil
}
