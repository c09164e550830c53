package edgecap.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.nio.charset.CodingErrorAction;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/**
 * The zip archive at the end of some bytes, read strictly: what a zip tool sees is what is read.
 *
 * <p>Only what edgecap writes: stored and deflated members on one disk, none encrypted, sizes below
 * 2 GiB. Every offset and size is checked before it is followed, and no two members may share
 * bytes. The layout is that of APPNOTE.TXT of PKWARE, sections 4.3.7, 4.3.12 and 4.3.16; the Python
 * runtime's {@code ziptail.py} accepts and refuses the same.
 */
final class ZipTail {
  static final Charset UTF_8 = Charset.forName("UTF-8");

  private static final Charset ASCII = Charset.forName("US-ASCII");
  private static final int STORED = 0;
  private static final int DEFLATED = 8;
  private static final int END_SIZE = 22;
  private static final int ENTRY_SIZE = 46;
  private static final int LOCAL_SIZE = 30;
  private static final int END_MARK = 0x06054b50;
  private static final int ENTRY_MARK = 0x02014b50;
  private static final int LOCAL_MARK = 0x04034b50;

  /** How hard it was packed, sizes behind the data, UTF-8; other flags change the content. */
  private static final int FLAGS = 0x0806 | 0x0008;

  private static final int UTF8_FLAG = 0x0800;
  private static final int MAX_VERSION = 63;
  private static final int MAX_COMMENT = 0xFFFF;
  private static final int MAX_MEMBERS = 64;
  private static final int MAX_MEMBER_BYTES = 1 << 26;

  private final byte[] data;
  private final ByteBuffer bytes;
  private final List<Member> members;

  /** One entry of the directory; sizes in bytes, {@code offset} that of its local header. */
  private static final class Member {
    String name;
    int method;
    long size;
    long packedSize;
    long crc;
    long offset;
  }

  /**
   * Reads the directory.
   *
   * @return null where there is no archive at all
   * @throws ModelException it is damaged, or uses what edgecap does not write
   */
  static ZipTail read(byte[] data) throws ModelException {
    int end = findEnd(data);
    return end < 0 ? null : new ZipTail(data, end);
  }

  private ZipTail(byte[] data, int end) throws ModelException {
    this.data = data;
    this.bytes = little(data);
    this.members = directory(end);
  }

  /** Where the archive begins, and so where what lies before it ends: the flatbuffer. */
  int start() {
    long first = data.length;
    for (Member member : members) {
      first = Math.min(first, member.offset);
    }
    return (int) first;
  }

  /**
   * The unpacked bytes of the one member of this name.
   *
   * @throws ModelException there is none or more than one, or it does not unpack to what the
   *     directory says
   */
  byte[] member(String name) throws ModelException {
    Member found = null;
    int count = 0;
    for (Member member : members) {
      if (member.name.equals(name)) {
        found = member;
        count++;
      }
    }
    if (count != 1) {
      throw new ModelException(
          "expected one " + name + " in the zip tail; found " + count
              + ". Make the model with 'edgecap convert'");
    }
    if (found.size > MAX_MEMBER_BYTES) {
      throw new ModelException(name + " claims " + found.size + " bytes; that is too large");
    }
    byte[] unpacked = unpack(found);
    CRC32 crc = new CRC32();
    crc.update(unpacked);
    if (crc.getValue() != found.crc) {
      throw damaged("'" + name + "' is not what the directory says: size or CRC-32 differ");
    }
    return unpacked;
  }

  private byte[] unpack(Member member) throws ModelException {
    int begin = packedAt(member);
    byte[] unpacked = new byte[(int) member.size];
    if (member.method == STORED) {
      if (member.packedSize != member.size) {
        throw damaged("'" + member.name + "' is not what the directory says: size differs");
      }
      System.arraycopy(data, begin, unpacked, 0, unpacked.length);
      return unpacked;
    }
    if (member.method != DEFLATED) {
      throw damaged("'" + member.name + "': expected a stored or deflated member of the zip");
    }
    Inflater inflater = new Inflater(true);
    try {
      inflater.setInput(data, begin, (int) member.packedSize);
      int filled = 0;
      // One byte more than may be, so that a bomb shows without being unpacked.
      byte[] more = new byte[1];
      while (!inflater.finished()) {
        boolean full = filled == unpacked.length;
        int got =
            full
                ? inflater.inflate(more)
                : inflater.inflate(unpacked, filled, unpacked.length - filled);
        if ((full && got > 0) || (got == 0 && !inflater.finished())) {
          throw damaged("'" + member.name + "' does not unpack to the size in the directory");
        }
        filled += got;
      }
      if (filled != unpacked.length || inflater.getRemaining() != 0) {
        throw damaged("'" + member.name + "' does not unpack to the size in the directory");
      }
      return unpacked;
    } catch (DataFormatException error) {
      throw damaged("'" + member.name + "' does not unpack: " + error.getMessage());
    } finally {
      inflater.end();
    }
  }

  private List<Member> directory(int end) throws ModelException {
    int count = u16(end + 10);
    if (u16(end + 4) != 0 || u16(end + 6) != 0 || u16(end + 8) != count) {
      throw damaged("it says that it lies on several disks");
    }
    if (count > MAX_MEMBERS) {
      throw damaged("its directory has " + count + " entries; expected at most " + MAX_MEMBERS);
    }
    long start = u32(end + 16);
    if (start + u32(end + 12) != end) {
      throw damaged("its directory does not lie where it says");
    }
    List<Member> found = new ArrayList<>();
    int at = (int) start;
    for (int i = 0; i < count; i++) {
      if (at + ENTRY_SIZE > end) {
        throw damaged("its directory is cut short");
      }
      Member member = entry(at);
      long next = (long) at + ENTRY_SIZE + u16(at + 28) + u16(at + 30) + u16(at + 32);
      if (next > end) {
        throw damaged("its directory is cut short");
      }
      member.name = name(at + ENTRY_SIZE, u16(at + 28), (u16(at + 8) & UTF8_FLAG) != 0);
      at = (int) next;
      found.add(member);
    }
    if (at != end) {
      throw damaged("its directory is larger than its entries");
    }
    checkPlaces(found, start);
    return found;
  }

  private Member entry(int at) throws ModelException {
    if (bytes.getInt(at) != ENTRY_MARK || u16(at + 34) != 0) {
      throw damaged("its directory is damaged");
    }
    if ((u16(at + 8) & ~FLAGS) != 0 || u16(at + 6) > MAX_VERSION) {
      throw damaged("a member is encrypted, or of a kind that edgecap does not write");
    }
    Member member = new Member();
    member.method = u16(at + 10);
    member.crc = u32(at + 16);
    member.packedSize = u32(at + 20);
    member.size = u32(at + 24);
    member.offset = u32(at + 42);
    return member;
  }

  private String name(int at, int size, boolean utf8) throws ModelException {
    try {
      return (utf8 ? UTF_8 : ASCII)
          .newDecoder()
          .onMalformedInput(CodingErrorAction.REPORT)
          .onUnmappableCharacter(CodingErrorAction.REPORT)
          .decode(ByteBuffer.wrap(data, at, size))
          .toString();
    } catch (CharacterCodingException error) {
      throw damaged("a member's name is no text");
    }
  }

  /** Where the packed bytes of a member begin; its local header must say what its entry says. */
  private int packedAt(Member member) throws ModelException {
    if (member.offset + LOCAL_SIZE > data.length) {
      throw damaged("'" + member.name + "' lies behind the end");
    }
    int at = (int) member.offset;
    if (bytes.getInt(at) != LOCAL_MARK
        || u16(at + 8) != member.method
        || (u16(at + 6) & ~FLAGS) != 0) {
      throw damaged("'" + member.name + "' does not lie where the directory says");
    }
    byte[] name = member.name.getBytes(UTF_8);
    boolean same = u16(at + 26) == name.length && at + LOCAL_SIZE + name.length <= data.length;
    for (int i = 0; same && i < name.length; i++) {
      same = data[at + LOCAL_SIZE + i] == name[i];
    }
    if (!same) {
      throw damaged("'" + member.name + "' has another name where it lies");
    }
    return at + LOCAL_SIZE + name.length + u16(at + 28);
  }

  /** No two members may share bytes, and none may reach into the directory. */
  private void checkPlaces(List<Member> found, long limit) throws ModelException {
    List<Member> ordered = new ArrayList<>(found);
    Collections.sort(
        ordered,
        new Comparator<Member>() {
          @Override
          public int compare(Member one, Member other) {
            return Long.compare(one.offset, other.offset);
          }
        });
    long free = 0;
    for (Member member : ordered) {
      if (member.offset < free) {
        throw damaged("'" + member.name + "' shares bytes with another member");
      }
      free = packedAt(member) + member.packedSize;
      if (free > limit) {
        throw damaged("'" + member.name + "' reaches into the directory");
      }
    }
  }

  /** Where the end record begins: the last one whose comment reaches to the end; −1 if none. */
  private static int findEnd(byte[] data) {
    ByteBuffer bytes = little(data);
    int lowest = Math.max(0, data.length - END_SIZE - MAX_COMMENT);
    for (int at = data.length - END_SIZE; at >= lowest; at--) {
      if (bytes.getInt(at) == END_MARK
          && at + END_SIZE + (bytes.getShort(at + 20) & 0xFFFF) == data.length) {
        return at;
      }
    }
    return -1;
  }

  private static ByteBuffer little(byte[] data) {
    return ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
  }

  private int u16(int at) {
    return bytes.getShort(at) & 0xFFFF;
  }

  private long u32(int at) {
    return bytes.getInt(at) & 0xFFFFFFFFL;
  }

  private static ModelException damaged(String what) {
    return new ModelException("the zip tail is damaged: " + what + ". Copy the file again");
  }
}
