package expr

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Ciphers, and numbers in network form. They are RisingWave's; encrypt and decrypt are those of PostgreSQL's pgcrypto, too.

// cipherMode is what "aes-cbc/pad:pkcs" says.
type cipherMode struct {
	cbc, pad bool
}

func parseCipher(spec []byte) (m cipherMode, err error) {
	bad := sqlerr.New(sqlerr.InvalidParameterValue, "Cannot use \"%s\": No such cipher algorithm", spec)
	m = cipherMode{cbc: true, pad: true}
	algorithm, padding, _ := strings.Cut(strings.ToLower(string(spec)), "/")
	name, mode, _ := strings.Cut(algorithm, "-")
	switch {
	case name != "aes":
		return m, bad
	case mode == "ecb":
		m.cbc = false
	case mode != "" && mode != "cbc":
		return m, bad
	}
	switch padding {
	case "", "pad:pkcs":
	case "pad:none":
		m.pad = false
	default:
		return m, sqlerr.New(sqlerr.InvalidParameterValue, "Cannot use \"%s\": Badly formatted type", spec)
	}
	return m, nil
}

// aesBlock makes the cipher; a key is filled up with zeros to the next of AES's sizes or cut to the largest, as
// pgcrypto does.
func aesBlock(key []byte) (cipher.Block, error) {
	size := 32
	for _, n := range []int{24, 16} {
		if len(key) <= n {
			size = n
		}
	}
	full := make([]byte, size)
	copy(full, key)
	return aes.NewCipher(full)
}

func encryptBytes(dst, data, key, spec []byte) ([]byte, error) {
	m, err := parseCipher(spec)
	if err != nil {
		return dst, err
	}
	b, err := aesBlock(key)
	if err != nil {
		return dst, err
	}
	data = bytes.Clone(data)
	if m.pad {
		n := aes.BlockSize - len(data)%aes.BlockSize
		data = append(data, bytes.Repeat([]byte{byte(n)}, n)...)
	}
	if len(data)%aes.BlockSize != 0 {
		return dst, sqlerr.New(sqlerr.ExternalRoutineException, "encrypt error: Encryption failed").
			WithDetail("Without padding the data must be of whole blocks of %d bytes.", aes.BlockSize)
	}
	if m.cbc { // the first block is chained to zeros
		cipher.NewCBCEncrypter(b, make([]byte, aes.BlockSize)).CryptBlocks(data, data)
	} else {
		for i := 0; i < len(data); i += aes.BlockSize {
			b.Encrypt(data[i:], data[i:])
		}
	}
	return append(dst, data...), nil
}

func decryptBytes(dst, data, key, spec []byte) ([]byte, error) {
	m, err := parseCipher(spec)
	if err != nil {
		return dst, err
	}
	b, err := aesBlock(key)
	if err != nil {
		return dst, err
	}
	failed := sqlerr.New(sqlerr.ExternalRoutineException, "decrypt error: Decryption failed")
	if len(data)%aes.BlockSize != 0 || m.pad && len(data) == 0 {
		return dst, failed
	}
	data = bytes.Clone(data)
	if m.cbc {
		cipher.NewCBCDecrypter(b, make([]byte, aes.BlockSize)).CryptBlocks(data, data)
	} else {
		for i := 0; i < len(data); i += aes.BlockSize {
			b.Decrypt(data[i:], data[i:])
		}
	}
	if m.pad {
		n := int(data[len(data)-1])
		if n == 0 || n > aes.BlockSize || !bytes.HasSuffix(data, bytes.Repeat([]byte{byte(n)}, n)) {
			return dst, failed
		}
		data = data[:len(data)-n]
	}
	return append(dst, data...), nil
}

func inetToNumber(s []byte) (int64, error) {
	a, err := netip.ParseAddr(string(s))
	if err != nil || !a.Is4() {
		return 0, sqlerr.New(sqlerr.InvalidParameterValue, "invalid IPv4 address: \"%s\"", s)
	}
	b := a.As4()
	return int64(binary.BigEndian.Uint32(b[:])), nil
}

func numberToInet(dst []byte, n int64) ([]byte, error) {
	if n < 0 || n > 1<<32-1 {
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "IPv4 address out of range: %d", n)
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b).AppendTo(dst), nil
}

func int8Send(dst []byte, n int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(n)) }

func int8Recv(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, sqlerr.New(sqlerr.InvalidBinaryRepresentation, "bigint takes 8 bytes, not %d", len(b))
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// cryptoFuncs lists ciphers and numbers in network form.
func cryptoFuncs() []Func {
	t, b, i8 := sqltypes.Text, sqltypes.Bytea, sqltypes.Int8
	return []Func{
		fn("encrypt", ts(b, b, t), b, b3e(encryptBytes), "data encrypted with a key, as aes-cbc/pad:pkcs or the like"),
		fn("decrypt", ts(b, b, t), b, b3e(decryptBytes), "data decrypted with a key, as aes-cbc/pad:pkcs or the like"),
		fn("inet_aton", ts(t), i8, k1e(inetToNumber), "number of an IPv4 address"),
		fn("inet_ntoa", ts(i8), t, b1e(numberToInet), "IPv4 address of a number"),
		fn("int8send", ts(i8), b, b1(int8Send), "the 8 bytes of a bigint, the highest first"),
		fn("int8recv", ts(b), i8, k1e(int8Recv), "bigint of 8 bytes, the highest first"),
	}
}
