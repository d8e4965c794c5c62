use std::fs;
use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx(magic: u32, dimensions: &[u32], elements: &[u8]) -> Vec<u8> {
    let words = [&[magic], dimensions].concat();
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend_from_slice(elements);
    bytes
}

fn images(count: u32, height: u32, width: u32) -> Vec<u8> {
    let elements: Vec<u8> = (0..count * height * width).map(|i| i as u8).collect();
    idx(0x803, &[count, height, width], &elements)
}

fn labels(labels: &[u8]) -> Vec<u8> {
    idx(0x801, &[labels.len() as u32], labels)
}

/// Six training and four test images of 3 x 2 in three classes, then changed.
fn folder(change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes| fs::write(folder.path().join(name), bytes).unwrap();
    write(TRAIN[0], images(6, 3, 2));
    write(TRAIN[1], labels(&[0, 1, 2, 0, 1, 2]));
    write(TEST[0], images(4, 3, 2));
    write(TEST[1], labels(&[2, 1, 0, 0]));
    change(folder.path());
    folder
}

fn open_with(name: &str, bytes: &[u8]) -> Result<Idx, DataError> {
    Idx::open(folder(|path| fs::write(path.join(name), bytes).unwrap()).path())
}

/// The file is named, and each of the words is in the message.
#[track_caller]
fn assert_fault(result: Result<Idx, DataError>, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} lacks {word:?}");
    }
}

#[test]
fn plain_and_gzip_read_alike() {
    let plain = Idx::open(folder(|_| {}).path()).unwrap();
    assert_eq!(plain.image_shape(), [3, 2]);
    assert_eq!(plain.classes(), 3);
    assert_eq!(plain.train_samples().width(), 6);
    assert_eq!((plain.train_samples().len(), plain.test().len()), (6, 4));
    assert_eq!(plain.test().inputs(), &Inputs::Bytes((0..24).collect()));
    assert_eq!(plain.test().targets(), &Targets::Labels { labels: vec![2, 1, 0, 0], classes: 3 });
    assert_eq!(plain.train(4).unwrap().per_epoch(), 2);
    assert_eq!(plain.train(7).unwrap_err(), DataError::Batch { batch: 7, samples: 6 });

    let packed = folder(|path| {
        for name in TRAIN.into_iter().chain(TEST) {
            let bytes = fs::read(path.join(name)).unwrap();
            // What lies beside a .gz is not looked at.
            fs::write(path.join(name), "rubbish").unwrap();
            fs::write(path.join(format!("{name}.gz")), gzip(&bytes)).unwrap();
        }
    });
    let packed = Idx::open(packed.path()).unwrap();
    assert_eq!(packed.train_samples(), plain.train_samples());
    assert_eq!(packed.test(), plain.test());
}

#[test]
fn the_content_decides_what_is_gzip() {
    assert!(open_with(TEST[0], &gzip(&images(4, 3, 2))).is_ok());
    assert!(open_with(&format!("{}.gz", TEST[0]), &images(4, 3, 2)).is_ok());
    // Members of a gzip file follow one another.
    let whole = images(4, 3, 2);
    let members = [gzip(&whole[..20]), gzip(&whole[20..])].concat();
    assert!(open_with(TEST[0], &members).is_ok());
}

#[test]
fn zeros_behind_a_gzip_stream_are_no_content() {
    let packed = gzip(&images(4, 3, 2));
    // More than what is buffered, too.
    for zeros in [1, 4 + 512, 100_000] {
        let padded = [packed.clone(), vec![0; zeros]].concat();
        let data = open_with(TEST[0], &padded).unwrap();
        assert_eq!(data.test().inputs(), &Inputs::Bytes((0..24).collect()), "{zeros} zeros");
    }
    // What comes after them is no padding, and what is no zero never was.
    let followed = [packed.clone(), vec![0; 9], packed.clone()].concat();
    assert_fault(open_with(TEST[0], &followed), &["damaged", "9 zero bytes"]);
    assert_fault(open_with(TEST[0], &[packed, vec![7; 9]].concat()), &["damaged"]);
}

#[test]
fn missing_folder_and_files_say_what_was_looked_for() {
    assert_fault(Idx::open("no/such/folder"), &["`no/such/folder`", TRAIN[0], TEST[1], ".gz"]);
    let data = folder(|_| {});
    let file = data.path().join(TRAIN[0]);
    assert_fault(Idx::open(&file), &["not a folder", TRAIN[0]]);
    for name in TRAIN.into_iter().chain(TEST) {
        let data = folder(|path| fs::remove_file(path.join(name)).unwrap());
        let both = format!("neither `{name}.gz` nor `{name}`");
        assert_fault(Idx::open(data.path()), &[&both]);
    }
}

#[test]
fn a_folder_in_place_of_a_file_is_refused() {
    let data = folder(|path| fs::create_dir(path.join(format!("{}.gz", TRAIN[0]))).unwrap());
    assert_fault(Idx::open(data.path()), &[TRAIN[0], "cannot be read"]);
}

#[test]
fn truncated_files_show_both_byte_counts() {
    let whole = images(4, 3, 2);
    for length in [0, 3, 4, 15] {
        let found = format!("{length} bytes");
        assert_fault(open_with(TEST[0], &whole[..length]), &[TEST[0], &found, "16", "header"]);
    }
    for length in [16, 17, 39] {
        let found = format!("{length} bytes");
        let words = [TEST[0], "truncated", &found, "40", "4 x 3 x 2"];
        assert_fault(open_with(TEST[0], &whole[..length]), &words);
        assert_fault(open_with(TEST[0], &gzip(&whole[..length])), &words);
    }
    assert_fault(open_with(TRAIN[1], &labels(&[0; 6])[..13]), &[TRAIN[1], "13", "14"]);
}

#[test]
fn trailing_bytes_are_refused() {
    let long = [images(4, 3, 2), vec![0]].concat();
    for bytes in [long.clone(), gzip(&long)] {
        assert_fault(open_with(TEST[0], &bytes), &[TEST[0], "goes on after the 40 bytes"]);
    }
    // Rubbish after the gzip stream itself.
    let rubbish = [gzip(&images(4, 3, 2)), b"more".to_vec()].concat();
    assert_fault(open_with(TEST[0], &rubbish), &[TEST[0], "gzip", "40 bytes"]);
}

#[test]
fn wrong_magic_numbers_are_shown_in_hex() {
    let swapped = open_with(TRAIN[0], &labels(&[0, 1, 2, 0, 1, 2]));
    assert_fault(swapped, &[TRAIN[0], "0x00000801", "0x00000803", "3 dimensions"]);
    let swapped = open_with(TRAIN[1], &images(6, 1, 1));
    assert_fault(swapped, &[TRAIN[1], "0x00000803", "0x00000801"]);
    assert_fault(open_with(TRAIN[0], b"<html></html>"), &["0x3c68746d", "0x00000803"]);
    let floats = idx(0xd03, &[4, 3, 2], &[0; 96]);
    assert_fault(open_with(TEST[0], &floats), &[TEST[0], "type 0x0d", "0x08"]);
}

#[test]
fn damaged_gzip_is_told_from_short_content() {
    let noise: Vec<u8> =
        (0..60_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let whole = gzip(&idx(0x803, &[100, 30, 20], &noise));
    let cut = open_with(TEST[0], &whole[..whole.len() / 2]);
    assert_fault(cut, &[TEST[0], "damaged", "after", "bytes"]);
    assert_fault(open_with(TEST[0], &whole[..5]), &[TEST[0], "damaged", "after 0 bytes"]);
    // One flipped bit of the checksum at the end.
    let mut flipped = whole.clone();
    let checksum = flipped.len() - 8;
    flipped[checksum] ^= 1;
    let result = open_with(TEST[0], &flipped);
    assert!(matches!(result, Err(DataError::Gzip { after: 60_016, .. })), "{result:?}");
}

#[test]
fn a_header_is_never_believed() {
    // Four thousand million images in twenty-four bytes: an error at once,
    // and no memory asked for.
    let lie = idx(0x803, &[u32::MAX, 28, 28], &[0; 24]);
    for bytes in [lie.clone(), gzip(&lie)] {
        assert_fault(open_with(TRAIN[0], &bytes), &["truncated", "40 bytes", "3367254359296"]);
    }
    let overflow = idx(0x803, &[u32::MAX; 3], &[]);
    assert_fault(open_with(TRAIN[0], &overflow), &[TRAIN[0], "4294967295", "overflow"]);
    // A small file that unpacks to a large one is read no further than needed.
    let bomb = gzip(&[images(4, 3, 2), vec![0; 1 << 26]].concat());
    assert_fault(open_with(TEST[0], &bomb), &["goes on after the 40 bytes"]);
}

#[test]
fn files_that_do_not_fit_each_other_are_refused() {
    let fewer = open_with(TRAIN[1], &labels(&[0, 1, 2, 0, 1]));
    assert_fault(fewer, &[TRAIN[0], "6 images", TRAIN[1], "5 labels"]);
    assert_fault(open_with(TEST[0], &images(4, 2, 3)), &["3 x 2", "2 x 3"]);
}

#[test]
fn no_images_are_refused() {
    for (count, height, width) in [(0, 3, 2), (6, 0, 2), (6, 3, 0)] {
        let size = format!("{count} images of {height} x {width}");
        assert_fault(open_with(TRAIN[0], &images(count, height, width)), &[TRAIN[0], &size]);
    }
}

#[test]
fn a_test_label_beyond_the_classes_is_found() {
    let words = [TEST[1], "label 2 is 3", "3 classes"];
    assert_fault(open_with(TEST[1], &labels(&[0, 2, 3, 1])), &words);
}

fn histogram(samples: &Samples) -> [usize; 10] {
    let Targets::Labels { labels, classes: 10 } = samples.targets() else {
        panic!("not ten classes: {}", samples.targets().width());
    };
    let mut histogram = [0; 10];
    labels.iter().for_each(|&label| histogram[usize::from(label)] += 1);
    histogram
}

fn sum(samples: &Samples) -> u64 {
    let Inputs::Bytes(bytes) = samples.inputs() else { panic!("not bytes") };
    bytes.iter().map(|&byte| u64::from(byte)).sum()
}

#[test]
fn mnist_is_what_was_published() {
    let data = Idx::open(concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist")).unwrap();
    let (train, test) = (data.train_samples(), data.test());
    assert_eq!((data.image_shape(), data.classes()), ([28, 28], 10));
    assert_eq!((train.len(), test.len()), (60_000, 10_000));
    assert_eq!(histogram(&train), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    assert_eq!(histogram(&test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    let Targets::Labels { labels, .. } = train.targets() else { unreachable!() };
    assert_eq!(labels[..5], [5, 0, 4, 1, 9]);
    // The well-known mean 0.1307 of the training pixels, exactly.
    assert_eq!((sum(&train), sum(&test)), (1_567_298_545, 264_923_200));
    assert_eq!(data.train(64).unwrap().per_epoch(), 938);
}
