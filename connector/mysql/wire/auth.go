package wire

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"filippo.io/edwards25519"
)

// The authentication plugins that are spoken.
const (
	nativePassword = "mysql_native_password"
	cachingSHA2    = "caching_sha2_password"
	sha256Password = "sha256_password"
	ed25519Plugin  = "client_ed25519"
	clearPassword  = "mysql_clear_password"
)

// authenticator answers a server's questions until it is content.
type authenticator struct {
	conn           *Conn
	user, password string
	secure         bool // the connection is encrypted
	salt           []byte
	plugin         string
}

// first answers the greeting, with the plugin that it proposed where we speak that.
func (a *authenticator) first(plugin string) ([]byte, error) {
	a.plugin = plugin
	switch plugin {
	case nativePassword, cachingSHA2:
		return a.answer()
	}
	a.plugin = nativePassword // the server will switch to what it wants
	return a.answer()
}

// answer is what the plugin sends for the salt.
func (a *authenticator) answer() ([]byte, error) {
	switch a.plugin {
	case nativePassword:
		return scrambleNative(a.password, a.salt), nil
	case cachingSHA2:
		return scrambleSHA2(a.password, a.salt), nil
	case sha256Password:
		if a.password == "" {
			return []byte{0}, nil
		}
		if a.secure {
			return append([]byte(a.password), 0), nil
		}
		return []byte{1}, nil // asks for the public key
	case ed25519Plugin:
		return signEd25519(a.password, a.salt)
	case clearPassword:
		if !a.secure {
			return nil, errors.New("the server asks for the password in clear text, which is sent over TLS only")
		}
		return append([]byte(a.password), 0), nil
	}
	return nil, fmt.Errorf("the server asks for the authentication plugin %q, which is not supported", a.plugin)
}

// finish follows the exchange to its end.
func (a *authenticator) finish() error {
	c := a.conn
	for {
		p, err := c.read()
		if err != nil {
			return err
		}
		if len(p) == 0 {
			return errors.New("empty packet while logging in")
		}
		switch p[0] {
		case 0x00:
			return nil
		case 0xff:
			return asError(p)
		case 0xfe:
			err = a.switchTo(p[1:])
		case 0x01:
			err = a.more(p[1:])
		default:
			err = fmt.Errorf("packet of kind %#x while logging in", p[0])
		}
		if err != nil {
			return err
		}
	}
}

func (a *authenticator) switchTo(p []byte) error {
	name, rest, ok := cutZero(p)
	if !ok {
		return errors.New("the server asks for the passwords of MySQL 4.0, which are not supported")
	}
	a.plugin = string(name)
	a.salt = append([]byte(nil), rest...)
	if n := len(a.salt); n > 0 && a.salt[n-1] == 0 {
		a.salt = a.salt[:n-1]
	}
	answer, err := a.answer()
	if err != nil {
		return err
	}
	return a.conn.write(answer)
}

// more goes on within a plugin: caching_sha2_password's result of its cache, or a public key.
func (a *authenticator) more(p []byte) error {
	switch {
	case a.plugin == cachingSHA2 && len(p) == 1 && p[0] == 3:
		return nil // the cache knew the password; OK follows
	case a.plugin == cachingSHA2 && len(p) == 1 && p[0] == 4:
		if a.secure {
			return a.conn.write(append([]byte(a.password), 0))
		}
		return a.conn.write([]byte{2}) // asks for the public key
	case a.plugin == cachingSHA2 || a.plugin == sha256Password:
		sealed, err := sealPassword(p, a.password, a.salt)
		if err != nil {
			return err
		}
		return a.conn.write(sealed)
	}
	return fmt.Errorf("the plugin %q says more than it should", a.plugin)
}

// scrambleNative is SHA1(password) XOR SHA1(salt, SHA1(SHA1(password))).
func scrambleNative(password string, salt []byte) []byte {
	if password == "" {
		return nil
	}
	one := sha1.Sum([]byte(password))
	two := sha1.Sum(one[:])
	three := sha1.Sum(append(append([]byte(nil), salt...), two[:]...))
	subtle.XORBytes(one[:], one[:], three[:])
	return one[:]
}

// scrambleSHA2 is SHA256(password) XOR SHA256(SHA256(SHA256(password)), salt).
func scrambleSHA2(password string, salt []byte) []byte {
	if password == "" {
		return nil
	}
	one := sha256.Sum256([]byte(password))
	two := sha256.Sum256(one[:])
	three := sha256.Sum256(append(append([]byte(nil), two[:]...), salt...))
	subtle.XORBytes(one[:], one[:], three[:])
	return one[:]
}

// sealPassword encrypts the password, mixed with the salt, with the server's public key (PEM).
func sealPassword(key []byte, password string, salt []byte) ([]byte, error) {
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, errors.New("the server's public key is not PEM")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the server's public key: %w", err)
	}
	k, ok := public.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the server's public key is not of RSA")
	}
	if len(salt) == 0 {
		return nil, errors.New("the server gave no salt")
	}
	plain := append([]byte(password), 0)
	for i := range plain {
		plain[i] ^= salt[i%len(salt)]
	}
	return rsa.EncryptOAEP(sha1.New(), rand.Reader, k, plain, nil)
}

// signEd25519 signs the salt as MariaDB's ed25519 does: as RFC 8032, but the password takes the place of the 32-byte seed.
func signEd25519(password string, salt []byte) ([]byte, error) {
	h := sha512.Sum512([]byte(password))
	s, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		return nil, err
	}
	public := new(edwards25519.Point).ScalarBaseMult(s).Bytes()
	nonce, err := uniform(h[32:], salt)
	if err != nil {
		return nil, err
	}
	r := new(edwards25519.Point).ScalarBaseMult(nonce).Bytes()
	k, err := uniform(r, public, salt)
	if err != nil {
		return nil, err
	}
	return append(r, edwards25519.NewScalar().MultiplyAdd(k, s, nonce).Bytes()...), nil
}

func uniform(parts ...[]byte) (*edwards25519.Scalar, error) {
	h := sha512.New()
	for _, p := range parts {
		h.Write(p)
	}
	return edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
}
