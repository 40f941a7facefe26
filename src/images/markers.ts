/** Names by which a layer of an image deletes what layers below have (layer.md of the image specification, "Whiteouts"). */
export const WHITEOUT_PREFIX = ".wh.";
export const OPAQUE_MARKER = ".wh..wh..opq";
/** aufs kept files of its own under such names */
export const AUFS_PREFIX = ".wh..wh.";
